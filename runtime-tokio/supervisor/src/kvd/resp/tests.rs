//! The parser against whole, broken, hostile and arbitrary bytes.

use super::*;
use proptest::prelude::*;

/// Everything that `pieces` yield, and the error they end with, if any.
fn parse<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Request>, Option<ProtocolError>, bool) {
    let mut parser = Parser::new();
    let mut requests = Vec::new();
    for piece in pieces {
        parser.feed(piece);
        loop {
            match parser.next() {
                Ok(Some(request)) => requests.push(request),
                Ok(None) => break,
                Err(error) => return (requests, Some(error), false),
            }
        }
    }
    let at_boundary = parser.at_boundary();
    (requests, None, at_boundary)
}

fn one(bytes: &[u8]) -> (Vec<Request>, Option<ProtocolError>, bool) {
    parse([bytes])
}

fn words(words: &[&str]) -> Request {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

#[test]
fn arrays_and_inline_commands_mix() {
    let bytes = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\nPING\r\n\r\n*0\r\n*-1\r\nset a  b\n";
    let (requests, error, at_boundary) = one(bytes);
    let expected = [
        words(&["GET", "k"]),
        words(&["PING"]),
        words(&["set", "a", "b"]),
    ];
    assert_eq!(requests, expected);
    assert_eq!(error, None);
    assert!(at_boundary);
}

#[test]
fn a_request_under_way_is_no_boundary() {
    for part in [
        &b"*"[..],
        b"PI",
        b"*1\r\n",
        b"*1\r\n$1\r\n",
        b"*1\r\n$1\r\nx\r",
    ] {
        assert_eq!(one(part), (vec![], None, false), "{part:?}");
    }
}

#[test]
fn what_is_not_resp_is_named() {
    use ProtocolError as E;
    let too_many = format!("*{}\r\n", MAX_ARGS + 1);
    let too_long = format!("*1\r\n${}\r\n", MAX_ARG + 1);
    let full = format!("${MAX_ARG}\r\n{}\r\n", "x".repeat(MAX_ARG));
    let too_large = format!("*3\r\n{full}{full}$1\r\n");
    let endless = "x".repeat(MAX_INLINE);
    let many_words = "w ".repeat(MAX_ARGS + 1) + "\n";
    let cases: [(&[u8], E); 13] = [
        (b"*x\r\n", E::ArgCount),
        (b"*1\n", E::ArgCount),
        (b"*99999999999999999999\r\n", E::ArgCount),
        (b"*11111111111111111111111111111111", E::ArgCount),
        (too_many.as_bytes(), E::ArgCount),
        (many_words.as_bytes(), E::ArgCount),
        (b"*1\r\n:1\r\n", E::ExpectedBulk),
        (b"*1\r\n$-1\r\n", E::BulkLength),
        (b"*1\r\n$\r\n", E::BulkLength),
        (too_long.as_bytes(), E::BulkLength),
        (too_large.as_bytes(), E::RequestTooLarge),
        (b"*1\r\n$1\r\nxyz", E::BulkEnd),
        (endless.as_bytes(), E::InlineTooLong),
    ];
    for (bytes, expected) in cases {
        let shown = String::from_utf8_lossy(bytes.get(..20).unwrap_or(bytes));
        assert_eq!(one(bytes).1, Some(expected), "{shown}");
    }
}

#[test]
fn a_failed_parser_stays_failed() {
    let mut parser = Parser::new();
    parser.feed(b"*x\r\nPING\r\n");
    assert_eq!(parser.next(), Err(ProtocolError::ArgCount));
    assert_eq!(parser.next(), Err(ProtocolError::ArgCount));
}

#[test]
fn announced_bytes_cost_nothing() {
    let mut parser = Parser::new();
    parser.feed(b"*64\r\n$1048576\r\n");
    assert_eq!(parser.next(), Ok(None));
    assert!(parser.buffer.capacity() < 1024);
    assert_eq!(parser.args.capacity(), 0);
}

#[test]
fn an_error_reply_is_one_line() {
    let mut out = Vec::new();
    error(&mut out, "ERR a\r\nb");
    assert_eq!(out, b"-ERR a  b\r\n");
}

fn requests() -> impl Strategy<Value = Vec<Request>> {
    let arg = prop::collection::vec(any::<u8>(), 0..40);
    prop::collection::vec(prop::collection::vec(arg, 1..5), 0..6)
}

/// `bytes` cut at the given places.
fn cut<'a>(bytes: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    at.extend([0, bytes.len()]);
    at.sort_unstable();
    at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

proptest! {
    #[test]
    fn what_was_encoded_comes_back(sent in requests(), cuts: Vec<prop::sample::Index>) {
        let mut bytes = Vec::new();
        for args in &sent {
            request(&mut bytes, &args.iter().map(Vec::as_slice).collect::<Vec<_>>());
        }
        prop_assert_eq!(parse(cut(&bytes, &cuts)), (sent, None, true));
    }

    #[test]
    fn any_bytes_in_any_pieces_mean_the_same(
        bytes in prop::collection::vec(prop_oneof![
            any::<u8>(),
            prop::sample::select(b"*$0123456789-\r\n ab".as_slice()),
        ], 0..200),
        cuts: Vec<prop::sample::Index>,
    ) {
        prop_assert_eq!(parse(cut(&bytes, &cuts)), one(&bytes));
    }
}
