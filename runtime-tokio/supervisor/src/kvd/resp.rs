//! RESP2, as far as a key-value daemon needs it: requests in, replies out.
//!
//! [`Parser`] takes bytes in whatever pieces the network delivers and yields whole requests. It
//! remembers where it stopped, so no byte is looked at twice, and it allocates only for bytes that
//! have arrived: a peer that announces a megabyte and sends nothing costs nothing. Inline commands
//! (a line of words, as typed into telnet) are understood too.

/// The longest single argument, in bytes.
pub(crate) const MAX_ARG: usize = 1024 * 1024;
/// The most arguments of one request, the command's name included.
pub(crate) const MAX_ARGS: usize = 64;
/// The most bytes that the arguments of one request may have together.
pub(crate) const MAX_REQUEST: usize = 2 * 1024 * 1024;
/// The longest inline command, in bytes.
const MAX_INLINE: usize = 64 * 1024;
/// The longest `*<n>` or `$<n>` line, in bytes, its end included.
const MAX_HEADER: usize = 32;
/// A buffer that has grown beyond this for one large request is given back afterwards.
const KEEP_BUFFER: usize = 64 * 1024;

/// A request: the command's name and its arguments. Never empty.
pub(crate) type Request = Vec<Vec<u8>>;

/// What a peer sent is not RESP, or is larger than we take. The connection cannot go on, since
/// where the next request starts is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProtocolError {
    /// An inline command does not end.
    #[error("too big inline request")]
    InlineTooLong,
    /// A `*<n>` line is malformed or names too many arguments.
    #[error("invalid multibulk length")]
    ArgCount,
    /// An argument does not start with `$`.
    #[error("expected '$'")]
    ExpectedBulk,
    /// A `$<n>` line is malformed or names too many bytes.
    #[error("invalid bulk length")]
    BulkLength,
    /// The arguments of a request are too large together.
    #[error("request too large")]
    RequestTooLarge,
    /// An argument is longer than it said.
    #[error("expected CRLF after a bulk")]
    BulkEnd,
}

/// What the parser is in the middle of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Want {
    /// The first byte of a request.
    Request,
    /// A `$<n>` line; this many arguments are missing.
    BulkHeader { missing: usize },
    /// The `len` bytes of an argument and its line end; this many arguments are missing.
    Bulk { missing: usize, len: usize },
}

/// Turns bytes into requests.
#[derive(Debug)]
pub(crate) struct Parser {
    /// Bytes received; those before `taken` are used up.
    buffer: Vec<u8>,
    taken: usize,
    /// How far beyond `taken` a line end has been looked for in vain.
    searched: usize,
    want: Want,
    args: Request,
    /// Bytes in `args`, and of the argument that is being received.
    size: usize,
    failed: Option<ProtocolError>,
}

impl Parser {
    /// A parser at the start of a request.
    pub(crate) fn new() -> Self {
        Self {
            buffer: Vec::new(),
            taken: 0,
            searched: 0,
            want: Want::Request,
            args: Vec::new(),
            size: 0,
            failed: None,
        }
    }

    /// Takes bytes as they came. Call [`next`](Self::next) until it has no more before feeding
    /// again; the buffer then never exceeds one request and one piece.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        if self.buffer.is_empty() && self.buffer.capacity() > KEEP_BUFFER {
            self.buffer = Vec::new();
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether no request is under way: every byte received belongs to a request that was yielded.
    pub(crate) fn at_boundary(&self) -> bool {
        self.want == Want::Request && self.taken == self.buffer.len()
    }

    /// The next whole request, or `None` when more bytes are needed.
    ///
    /// # Errors
    /// When the bytes are not RESP; the parser then says so for ever.
    pub(crate) fn next(&mut self) -> Result<Option<Request>, ProtocolError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        loop {
            match self.step() {
                Ok(Step::Again) => {}
                Ok(Step::Starved) => return Ok(None),
                Ok(Step::Whole) => {
                    self.size = 0;
                    return Ok(Some(std::mem::take(&mut self.args)));
                }
                Err(error) => {
                    self.failed = Some(error);
                    return Err(error);
                }
            }
        }
    }

    fn step(&mut self) -> Result<Step, ProtocolError> {
        match self.want {
            Want::Request => match self.rest().first() {
                None => Ok(Step::Starved),
                Some(b'*') => self.arg_count(),
                Some(_) => self.inline(),
            },
            Want::BulkHeader { missing } => self.bulk_header(missing),
            Want::Bulk { missing, len } => self.bulk(missing, len),
        }
    }

    fn arg_count(&mut self) -> Result<Step, ProtocolError> {
        let Some(count) = self.header(ProtocolError::ArgCount)? else {
            return Ok(Step::Starved);
        };
        // Clients send `*0` and `*-1` as empty requests; they get no answer.
        match usize::try_from(count) {
            Ok(0) | Err(_) => Ok(Step::Again),
            Ok(missing) if missing <= MAX_ARGS => {
                self.want = Want::BulkHeader { missing };
                Ok(Step::Again)
            }
            Ok(_) => Err(ProtocolError::ArgCount),
        }
    }

    fn bulk_header(&mut self, missing: usize) -> Result<Step, ProtocolError> {
        match self.rest().first() {
            None => return Ok(Step::Starved),
            Some(b'$') => {}
            Some(_) => return Err(ProtocolError::ExpectedBulk),
        }
        let Some(len) = self.header(ProtocolError::BulkLength)? else {
            return Ok(Step::Starved);
        };
        let len = usize::try_from(len).map_err(|_| ProtocolError::BulkLength)?;
        if len > MAX_ARG {
            return Err(ProtocolError::BulkLength);
        }
        self.size += len;
        if self.size > MAX_REQUEST {
            return Err(ProtocolError::RequestTooLarge);
        }
        self.want = Want::Bulk { missing, len };
        Ok(Step::Again)
    }

    fn bulk(&mut self, missing: usize, len: usize) -> Result<Step, ProtocolError> {
        let rest = self.rest();
        let Some((bulk, after)) = rest.split_at_checked(len) else {
            return Ok(Step::Starved);
        };
        match after {
            [b'\r', b'\n', ..] => {}
            [] | [b'\r'] => return Ok(Step::Starved),
            _ => return Err(ProtocolError::BulkEnd),
        }
        let bulk = bulk.to_vec();
        self.args.push(bulk);
        self.take(len + 2);
        if missing > 1 {
            self.want = Want::BulkHeader {
                missing: missing - 1,
            };
            Ok(Step::Again)
        } else {
            self.want = Want::Request;
            Ok(Step::Whole)
        }
    }

    fn inline(&mut self) -> Result<Step, ProtocolError> {
        let Some(end) = self.find_line_end(MAX_INLINE, ProtocolError::InlineTooLong)? else {
            return Ok(Step::Starved);
        };
        let line = self.rest().get(..end).unwrap_or_default();
        let words = line
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty());
        let args: Request = words.take(MAX_ARGS + 1).map(<[u8]>::to_vec).collect();
        self.take(end + 1);
        match args.len() {
            0 => Ok(Step::Again),
            count if count > MAX_ARGS => Err(ProtocolError::ArgCount),
            _ => {
                self.args = args;
                Ok(Step::Whole)
            }
        }
    }

    /// The number of a `*<n>` or `$<n>` line, or `None` when the line is not all there.
    fn header(&mut self, error: ProtocolError) -> Result<Option<i64>, ProtocolError> {
        let Some(end) = self.find_line_end(MAX_HEADER, error)? else {
            return Ok(None);
        };
        let digits = self
            .rest()
            .get(1..end)
            .and_then(|line| line.strip_suffix(b"\r"))
            .ok_or(error)?;
        let number = std::str::from_utf8(digits)
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or(error)?;
        self.take(end + 1);
        Ok(Some(number))
    }

    /// Where the next `\n` is in [`rest`](Self::rest); `error` when it is not within `limit`.
    fn find_line_end(
        &mut self,
        limit: usize,
        error: ProtocolError,
    ) -> Result<Option<usize>, ProtocolError> {
        let rest = self.rest();
        let unseen = rest.get(self.searched..).unwrap_or_default();
        let end = unseen
            .iter()
            .position(|byte| *byte == b'\n')
            .map(|at| at + self.searched);
        let length = rest.len();
        match end {
            Some(end) if end < limit => Ok(Some(end)),
            None if length < limit => {
                self.searched = length;
                Ok(None)
            }
            _ => Err(error),
        }
    }

    fn rest(&self) -> &[u8] {
        self.buffer.get(self.taken..).unwrap_or_default()
    }

    fn take(&mut self, count: usize) {
        self.taken = (self.taken + count).min(self.buffer.len());
        self.searched = 0;
    }
}

/// How far one step of the parser came.
enum Step {
    Again,
    Starved,
    Whole,
}

/// Appends `+text`.
pub(crate) fn simple(out: &mut Vec<u8>, text: &str) {
    line(out, b'+', text);
}

/// Appends `-text`; line ends in `text` are replaced, since they would start another reply.
pub(crate) fn error(out: &mut Vec<u8>, text: &str) {
    line(out, b'-', &text.replace(['\r', '\n'], " "));
}

/// Appends `:number`.
pub(crate) fn integer(out: &mut Vec<u8>, number: u64) {
    line(out, b':', &number.to_string());
}

/// Appends a bulk string.
pub(crate) fn bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    line(out, b'$', &bytes.len().to_string());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// Appends the answer for a key that is not there.
pub(crate) fn nil(out: &mut Vec<u8>) {
    out.extend_from_slice(b"$-1\r\n");
}

/// Appends an array without elements.
pub(crate) fn empty_array(out: &mut Vec<u8>) {
    out.extend_from_slice(b"*0\r\n");
}

fn line(out: &mut Vec<u8>, kind: u8, text: &str) {
    out.push(kind);
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Appends a request: an array of bulk strings.
pub(crate) fn request(out: &mut Vec<u8>, args: &[&[u8]]) {
    line(out, b'*', &args.len().to_string());
    for arg in args {
        bulk(out, arg);
    }
}

#[cfg(test)]
mod tests;
