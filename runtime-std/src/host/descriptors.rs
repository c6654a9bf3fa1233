//! Descriptors that travel over a Unix stream socket, with the bytes they belong to.
//!
//! The kernel keeps the two together in one direction only: what one call sends with descriptors is
//! never followed, in the same read, by bytes of a later call. So a frame with descriptors is sent by
//! a call of its own, and descriptors that arrive belong to the frame of the last byte that came with
//! them.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, Shutdown, recvmsg, sendmsg,
};

use super::inherit::MAX_LISTENERS;

/// Room for as many descriptors as one message can have.
const SPACE: usize = rustix::cmsg_space!(ScmRights(MAX_LISTENERS));

/// What one read brought.
#[derive(Debug)]
pub struct Received {
    /// Bytes read; 0 is the end of the stream.
    pub count: usize,
    /// Descriptors that came with the last of them; close-on-exec.
    pub descriptors: Vec<OwnedFd>,
    /// More came than there was room for. They are closed.
    pub truncated: bool,
}

/// Whether descriptors are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Up to [`MAX_LISTENERS`] of them.
    Yes,
    /// None: the kernel closes what comes, before this process has it.
    No,
}

/// Write what the socket takes now; the descriptors go with the first byte.
///
/// # Errors
/// The system's. Nothing was sent then. Unless it was `WouldBlock` or `Interrupted` the socket is of no
/// more use and is shut: whoever reads it comes to its end, after what the peer sent before.
pub fn send(socket: &impl AsFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); SPACE];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fit = descriptors.len() <= MAX_LISTENERS
        && (descriptors.is_empty() || control.push(SendAncillaryMessage::ScmRights(descriptors)));
    if !fit {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "{} descriptors do not fit into one message; {MAX_LISTENERS} do",
                descriptors.len()
            ),
        ));
    }
    #[cfg(not(target_vendor = "apple"))]
    let flags = SendFlags::NOSIGNAL;
    #[cfg(target_vendor = "apple")]
    let flags = SendFlags::empty();
    let sent = sendmsg(socket, &[IoSlice::new(bytes)], &mut control, flags);
    if let Err(error) = sent
        && !matches!(error, Errno::AGAIN | Errno::INTR)
    {
        // One that is not connected any more is shut already.
        let _ = rustix::net::shutdown(socket, Shutdown::Both);
    }
    Ok(sent?)
}

/// Read what there is.
///
/// # Errors
/// The system's.
pub fn receive(socket: &impl AsFd, room: &mut [u8], wanted: Wanted) -> io::Result<Received> {
    let mut space = [MaybeUninit::uninit(); SPACE];
    let mut control = match wanted {
        Wanted::Yes => RecvAncillaryBuffer::new(&mut space),
        Wanted::No => RecvAncillaryBuffer::new(&mut []),
    };
    #[cfg(not(target_vendor = "apple"))]
    let flags = RecvFlags::CMSG_CLOEXEC;
    #[cfg(target_vendor = "apple")]
    let flags = RecvFlags::empty();
    let message = recvmsg(socket, &mut [IoSliceMut::new(room)], &mut control, flags)?;
    let mut descriptors = Vec::new();
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = part {
            descriptors.extend(rights);
        }
    }
    #[cfg(target_vendor = "apple")]
    for descriptor in &descriptors {
        rustix::io::fcntl_setfd(descriptor, rustix::io::FdFlags::CLOEXEC)?;
    }
    Ok(Received {
        count: message.bytes,
        descriptors,
        truncated: message.flags.contains(ReturnFlags::CTRUNC),
    })
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    fn pair() -> (UnixStream, UnixStream) {
        let (a, b) = UnixStream::pair().unwrap();
        b.set_nonblocking(true).unwrap();
        (a, b)
    }

    #[test]
    fn a_descriptor_arrives_with_the_last_byte_of_a_read() {
        let (mut a, b) = pair();
        let file = tempfile::tempfile().unwrap();
        a.write_all(b"before").unwrap();
        assert_eq!(send(&a, b"with", &[file.as_fd()]).unwrap(), 4);
        a.write_all(b"after").unwrap();
        let mut room = [0; 64];
        let first = receive(&b, &mut room, Wanted::Yes).unwrap();
        assert_eq!(&room[..first.count], b"beforewith");
        assert_eq!((first.descriptors.len(), first.truncated), (1, false));
        let rest = receive(&b, &mut room, Wanted::Yes).unwrap();
        assert_eq!(&room[..rest.count], b"after");
        assert!(rest.descriptors.is_empty());

        let mut got = File::from(first.descriptors.into_iter().next().unwrap());
        let flags = rustix::io::fcntl_getfd(&got).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        (&file).write_all(b"the same file").unwrap();
        let mut text = String::new();
        std::io::Seek::rewind(&mut got).unwrap();
        got.read_to_string(&mut text).unwrap();
        assert_eq!(text, "the same file");
    }

    #[test]
    fn descriptors_that_are_not_wanted_are_not_even_opened() {
        let (a, b) = pair();
        send(&a, b"x", &[a.as_fd(), a.as_fd()]).unwrap();
        let got = receive(&b, &mut [0; 8], Wanted::No).unwrap();
        assert_eq!((got.count, got.descriptors.len()), (1, 0));
        assert!(got.truncated);
    }

    /// A peer that stops reading and stays would otherwise never be noticed by the reading side.
    #[test]
    fn a_socket_that_cannot_be_written_comes_to_its_end_after_what_was_sent_before() {
        let (mut a, b) = pair();
        a.write_all(b"the last word").unwrap();
        a.shutdown(std::net::Shutdown::Read).unwrap();
        let error = send(&b, b"x", &[]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        let mut room = [0; 64];
        let word = receive(&b, &mut room, Wanted::No).unwrap();
        assert_eq!(&room[..word.count], b"the last word");
        assert_eq!(receive(&b, &mut room, Wanted::No).unwrap().count, 0);
    }

    #[test]
    fn as_many_as_the_kernel_takes_and_not_one_more() {
        let (a, b) = pair();
        let many = vec![a.as_fd(); MAX_LISTENERS];
        send(&a, b"x", &many).unwrap();
        let got = receive(&b, &mut [0; 8], Wanted::Yes).unwrap();
        assert_eq!(got.descriptors.len(), MAX_LISTENERS);
        let more = vec![a.as_fd(); MAX_LISTENERS + 1];
        let error = send(&a, b"x", &more).unwrap_err().to_string();
        assert!(error.contains("254 descriptors"), "{error}");
    }
}
