use super::*;

/// The pieces of these chunks, as text with `+` before a continued one.
fn pieces<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
    let mut framer = Framer::new();
    let mut pieces = Vec::new();
    let mut give =
        |p: Piece| pieces.push(format!("{}{}", if p.continued { "+" } else { "" }, p.text));
    for chunk in chunks {
        framer.push(chunk, &mut give);
    }
    framer.finish(&mut give);
    pieces
}

#[test]
fn the_cuts_of_the_pipe_do_not_matter() {
    let bytes = "one\n\ntwo\r\nthree é\nlast".as_bytes();
    let want = ["one", "", "two", "three é", "last"];
    for size in 1..=bytes.len() {
        assert_eq!(pieces(bytes.chunks(size)), want, "chunks of {size}");
    }
}

#[test]
fn nothing_is_no_line() {
    assert!(pieces([]).is_empty());
    assert!(pieces([&b""[..]]).is_empty());
    assert_eq!(pieces([&b"a\n"[..]]), ["a"]);
}

#[test]
fn bytes_that_are_not_text_do_no_harm() {
    assert_eq!(pieces([&b"a\xff\xfeb\0c\n\x80\n"[..]]), ["a\u{fffd}\u{fffd}b\0c", "\u{fffd}"]);
}

#[test]
fn only_a_line_over_the_longest_is_split() {
    let longest = "x".repeat(LINE_BYTES);
    for end in ["", "\n", "\r\n"] {
        let bytes = format!("{longest}{end}");
        for size in [1000, LINE_BYTES, LINE_BYTES + 1, bytes.len()] {
            assert_eq!(pieces(bytes.as_bytes().chunks(size)), [longest.as_str()], "{end:?} {size}");
        }
    }
    let bytes = format!("{longest}{longest}y\nz\n");
    let want = [longest.clone(), format!("+{longest}"), "+y".into(), "z".into()];
    for size in [1, 1000, LINE_BYTES, bytes.len()] {
        assert_eq!(pieces(bytes.as_bytes().chunks(size)), want, "chunks of {size}");
    }
}

#[test]
fn a_split_keeps_characters_whole() {
    for (char, before) in [("é", 1), ("€", 1), ("€", 2), ("😀", 1), ("😀", 2), ("😀", 3)]
    {
        let head = "x".repeat(LINE_BYTES - before);
        let line = format!("{head}{char}tail");
        for size in [1, 777, line.len()] {
            let want = [head.clone(), format!("+{char}tail")];
            assert_eq!(pieces(line.as_bytes().chunks(size)), want, "{char} {before} {size}");
        }
    }
}

#[test]
fn a_long_line_without_text_is_split_too() {
    let bytes = vec![0xbf; 2 * LINE_BYTES + 5];
    let lengths: Vec<_> = pieces([&bytes[..]]).iter().map(|p| p.chars().count()).collect();
    assert_eq!(lengths, [LINE_BYTES, LINE_BYTES + 1, 5 + 1]);
}
