//! Clients of the control path that mean no good. They stay until they are dropped.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{anyhow, ensure};
use handoff_core::wire::{HandoffId, MAX_FRAME_LEN, Message, encode};

/// How long a peer waits for a Hello.
const HELLO: Duration = Duration::from_secs(5);
/// How often one asks that reads no answer.
const QUESTIONS: usize = 200;
/// The pause between two bytes of one that drips.
const DRIP: Duration = Duration::from_millis(20);

/// Connections that are open.
pub(super) struct Peers(Vec<UnixStream>);

impl Peers {
    /// One that acknowledges and then is silent.
    ///
    /// # Errors
    /// When it cannot do so.
    pub(super) fn silent_after_ack(control: &Path) -> anyhow::Result<Self> {
        Ok(Self(vec![acknowledged(control, 1, 1)?]))
    }

    /// One that asks for a drain and then is silent; it announces this deadline.
    ///
    /// # Errors
    /// When it cannot do so.
    pub(super) fn silent_after_prepare(control: &Path, deadline: Duration) -> anyhow::Result<Self> {
        let mut stream = acknowledged(control, 1, 1)?;
        let deadline_ms = u64::try_from(deadline.as_millis())?;
        send(
            &mut stream,
            1,
            &Message::PrepareHandoff {
                id: id(1),
                successor_pid: std::process::id(),
                deadline_ms,
                drain_grace_ms: deadline_ms,
            },
        )?;
        Ok(Self(vec![stream]))
    }

    /// Many: silent ones, some of which acknowledged, some that send garbage, some that drip, and some that
    /// ask and ask for listeners and for the status, and read no answer.
    ///
    /// # Errors
    /// When they cannot even connect.
    pub(super) fn hostile(control: &Path) -> anyhow::Result<Self> {
        let mut peers = Vec::new();
        for _ in 0..100 {
            peers.push(UnixStream::connect(control)?);
        }
        for number in 0..10 {
            peers.push(acknowledged(control, 1, number)?);
        }
        let oversized = header(MAX_FRAME_LEN + 1)?;
        for bytes in [
            &[0xff; 4096][..],
            &header(0)?,
            &oversized,
            b"\x02\0\0\0\x09\0",
        ] {
            let mut liar = UnixStream::connect(control)?;
            liar.write_all(bytes)?;
            peers.push(liar);
        }
        for number in 20..24 {
            let mut dripping = acknowledged(control, 1, number)?;
            peers.push(dripping.try_clone()?);
            thread::spawn(move || {
                let mut goes_on =
                    header(MAX_FRAME_LEN).is_ok_and(|header| dripping.write_all(&header).is_ok());
                while goes_on {
                    thread::sleep(DRIP);
                    goes_on = dripping.write_all(&[0]).is_ok();
                }
            });
        }
        for number in 30..34 {
            let mut asking = acknowledged(control, 2, number)?;
            // It may be turned away in the middle of it.
            let _ = (0..QUESTIONS).try_for_each(|_| {
                send(&mut asking, 2, &Message::ListenersRequest)?;
                send(&mut asking, 2, &Message::StatusRequest)
            });
            peers.push(asking);
        }
        Ok(Self(peers))
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        for stream in &self.0 {
            // The other side may have closed it long ago.
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }
}

/// Connects, waits for Hello and acknowledges it, in this version.
fn acknowledged(control: &Path, version: u16, number: u8) -> anyhow::Result<UnixStream> {
    let mut stream = UnixStream::connect(control)?;
    stream.set_read_timeout(Some(HELLO))?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_le_bytes(length))?;
    ensure!(length <= MAX_FRAME_LEN, "a Hello of {length} bytes");
    stream.read_exact(&mut vec![0; length])?;
    send(
        &mut stream,
        version,
        &Message::HelloAck {
            version,
            id: id(number),
        },
    )?;
    Ok(stream)
}

fn send(stream: &mut UnixStream, version: u16, message: &Message<'_>) -> anyhow::Result<()> {
    let mut room = [0; 256];
    let count = encode(version, message, &mut room).map_err(|error| anyhow!("{error}"))?;
    stream.write_all(room.get(..count).unwrap_or_default())?;
    Ok(())
}

fn header(length: usize) -> anyhow::Result<[u8; 4]> {
    Ok(u32::try_from(length)?.to_le_bytes())
}

fn id(number: u8) -> HandoffId {
    HandoffId::from_random([number; 16])
}
