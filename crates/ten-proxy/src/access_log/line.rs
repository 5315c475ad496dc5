//! The two spellings of an exchange. Nothing of a client's text can end a line, leave its quotes
//! or reach a terminal as a control character: what might is written as its number.

use std::{borrow::Cow, cell::RefCell, fmt::Arguments, io::Write, time::Duration};

use http::HeaderValue;
use jiff::Timestamp;

use crate::Exchange;

/// Adds the line of the combined format as nginx and Apache write it, and four fields more: the
/// instance, the milliseconds of its wake and of the whole, the request's id.
pub(super) fn text(exchange: &Exchange, out: &mut Vec<u8>) {
    put(out, format_args!("{} - - [", exchange.peer));
    second(exchange.began, out);
    out.extend_from_slice(b" +0000] \"");
    match &exchange.line {
        Some(line) => {
            escaped(line.method.as_str().as_bytes(), out);
            out.push(b' ');
            escaped(line.target.as_str().as_bytes(), out);
            put(out, format_args!(" {:?}", exchange.version));
        }
        None => out.push(b'-'),
    }
    put(out, format_args!("\" {} {} ", exchange.status.as_u16(), exchange.sent_bytes));
    quoted(exchange.referer.as_ref(), out);
    out.push(b' ');
    quoted(exchange.user_agent.as_ref(), out);
    match &exchange.instance {
        Some(instance) => put(out, format_args!(" {instance} ")),
        None => out.extend_from_slice(b" - "),
    }
    milliseconds(exchange.wake, out);
    out.push(b' ');
    milliseconds(exchange.duration, out);
    out.push(b' ');
    escaped(exchange.request_id.as_bytes(), out);
    out.push(b'\n');
}

/// Adds one object. What is not known is absent.
pub(super) fn json(exchange: &Exchange, out: &mut Vec<u8>) {
    put(out, format_args!("{{\"time\":\"{:.3}\",\"peer\":\"{}\"", exchange.began, exchange.peer));
    string("host", header(exchange.host.as_ref()), out);
    let line = exchange.line.as_ref();
    string("method", line.map(|line| line.method.as_str().into()), out);
    string("target", line.map(|line| line.target.as_str().into()), out);
    put(out, format_args!(",\"version\":\"{:?}\"", exchange.version));
    put(out, format_args!(",\"status\":{}", exchange.status.as_u16()));
    put(out, format_args!(",\"received_bytes\":{}", exchange.received_bytes));
    put(out, format_args!(",\"sent_bytes\":{}", exchange.sent_bytes));
    put(out, format_args!(",\"cut\":{}", exchange.cut));
    if let Some(instance) = &exchange.instance {
        put(out, format_args!(",\"instance\":\"{instance}\""));
    }
    string("own_answer", exchange.own_answer.map(Into::into), out);
    string("request_id", header(Some(&exchange.request_id)), out);
    string("user_agent", header(exchange.user_agent.as_ref()), out);
    string("referer", header(exchange.referer.as_ref()), out);
    out.extend_from_slice(b",\"wake_ms\":");
    milliseconds(exchange.wake, out);
    if let Some(upstream) = exchange.upstream {
        out.extend_from_slice(b",\"upstream_ms\":");
        milliseconds(upstream, out);
    }
    out.extend_from_slice(b",\"duration_ms\":");
    milliseconds(exchange.duration, out);
    out.extend_from_slice(b"}\n");
}

/// As the combined format has it. Those of one second are spelled once by each thread.
fn second(time: Timestamp, out: &mut Vec<u8>) {
    thread_local! {
        static LAST: RefCell<(i64, String)> = const { RefCell::new((i64::MIN, String::new())) };
    }
    LAST.with_borrow_mut(|(second, spelled)| {
        if *second != time.as_second() {
            (*second, *spelled) =
                (time.as_second(), time.strftime("%d/%b/%Y:%H:%M:%S").to_string());
        }
        out.extend_from_slice(spelled.as_bytes());
    });
}

fn put(out: &mut Vec<u8>, text: Arguments<'_>) {
    // Writing to memory does not fail.
    let _ = out.write_fmt(text);
}

/// With three digits after the point.
fn milliseconds(time: Duration, out: &mut Vec<u8>) {
    let micros = time.as_micros();
    put(out, format_args!("{}.{:03}", micros / 1000, micros % 1000));
}

fn quoted(value: Option<&HeaderValue>, out: &mut Vec<u8>) {
    out.push(b'"');
    escaped(value.map_or(b"-", |value| value.as_bytes()), out);
    out.push(b'"');
}

/// As nginx escapes: quotes, backslashes, and all that is not printable ASCII, as `\xXX`.
fn escaped(bytes: &[u8], out: &mut Vec<u8>) {
    for (plain, odd) in runs(bytes) {
        out.extend_from_slice(plain);
        odd.iter().for_each(|byte| put(out, format_args!("\\x{byte:02X}")));
    }
}

/// Runs of bytes that may stand in quotes as they are, and of those behind each that may not.
fn runs(bytes: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let is_odd = |byte: &u8| !matches!(byte, b' '..=b'~') || matches!(byte, b'"' | b'\\');
    bytes.chunk_by(move |a, b| is_odd(b) || !is_odd(a)).map(move |run| {
        let odd = run.iter().position(is_odd).unwrap_or(run.len());
        run.split_at(odd)
    })
}

fn header(value: Option<&HeaderValue>) -> Option<Cow<'_, str>> {
    value.map(|value| String::from_utf8_lossy(value.as_bytes()))
}

/// Adds a member whose name is ours and whose text need not be. Printable ASCII stays as it is.
/// RFC 8259 would leave more alone: controls that terminals obey, marks that turn a line around,
/// and the separators at which some readers of lines cut.
fn string(name: &str, text: Option<Cow<'_, str>>, out: &mut Vec<u8>) {
    let Some(text) = text else { return };
    put(out, format_args!(",\"{name}\":\""));
    for (plain, odd) in runs(text.as_bytes()) {
        out.extend_from_slice(plain);
        // Whole characters: no byte of one that is not ASCII is printable.
        for unit in String::from_utf8_lossy(odd).encode_utf16() {
            match u8::try_from(unit) {
                Ok(byte @ (b'"' | b'\\')) => out.extend([b'\\', byte]),
                _ => put(out, format_args!("\\u{unit:04x}")),
            }
        }
    }
    out.push(b'"');
}
