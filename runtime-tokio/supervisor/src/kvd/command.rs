//! What a request asks for.

use super::resp::Request;
use super::store::Write;

/// A request that was understood.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Answer `PONG`, or the text given.
    Ping(Option<Vec<u8>>),
    /// Answer the text given.
    Echo(Vec<u8>),
    /// Give a key a value; answer `OK`.
    Set(Write),
    /// Answer the value of this key.
    Get(Vec<u8>),
    /// Remove keys; answer how many there were.
    Del(Vec<Write>),
    /// Answer how many keys there are.
    DbSize,
    /// Answer what this process is and does.
    Info,
    /// Clients ask CONFIG and COMMAND when they connect, and take an empty array for an answer.
    Nothing,
    /// Answer `OK` and close.
    Quit,
}

impl Command {
    /// Understands `request`.
    ///
    /// # Errors
    /// The text of the error reply. The connection can go on.
    pub(crate) fn parse(request: Request) -> Result<Self, String> {
        let mut args = request.into_iter();
        let name = args.next().unwrap_or_default().to_ascii_lowercase();
        let args: Vec<_> = args.collect();
        Ok(match (name.as_slice(), args.len()) {
            (b"ping", 0) => Self::Ping(None),
            (b"ping", 1) => Self::Ping(args.into_iter().next()),
            (b"echo", 1) => Self::Echo(only(args)),
            (b"get", 1) => Self::Get(only(args)),
            (b"set", 2..) => match <[Vec<u8>; 2]>::try_from(args) {
                Ok([key, value]) => Self::Set(Write::Set { key, value }),
                // SET has options in Redis; to ignore EX or NX would be to lie.
                Err(_) => return Err("ERR syntax error: SET takes a key and a value".into()),
            },
            (b"del", 1..) => Self::Del(args.into_iter().map(|key| Write::Del { key }).collect()),
            (b"dbsize", 0) => Self::DbSize,
            (b"info", 0 | 1) => Self::Info,
            (b"config" | b"command", _) => Self::Nothing,
            (b"quit", _) => Self::Quit,
            (b"ping" | b"echo" | b"get" | b"set" | b"del" | b"dbsize" | b"info", _) => {
                return Err(format!(
                    "ERR wrong number of arguments for '{}' command",
                    printable(&name)
                ));
            }
            _ => return Err(format!("ERR unknown command '{}'", printable(&name))),
        })
    }
}

/// The argument of a command that has exactly one.
fn only(args: Vec<Vec<u8>>) -> Vec<u8> {
    args.into_iter().next().unwrap_or_default()
}

/// `name` as it may stand in a reply: short, and nothing but visible ASCII.
fn printable(name: &[u8]) -> String {
    let shown = name.iter().take(32).map(|byte| match byte {
        b' '..=b'~' => char::from(*byte),
        _ => '?',
    });
    shown.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command, String> {
        Command::parse(line.split(' ').map(Into::into).collect())
    }

    #[test]
    fn names_have_no_case() {
        assert_eq!(parse("PiNg"), Ok(Command::Ping(None)));
        assert_eq!(parse("get K"), Ok(Command::Get(b"K".to_vec())));
        assert_eq!(parse("CONFIG GET save"), Ok(Command::Nothing));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let arity = "ERR wrong number of arguments for 'set' command";
        assert_eq!(parse("SET k"), Err(arity.into()));
        let options = "ERR syntax error: SET takes a key and a value";
        assert_eq!(parse("SET k v NX"), Err(options.into()));
        assert_eq!(
            parse("fl\r\nush"),
            Err("ERR unknown command 'fl??ush'".into())
        );
    }
}
