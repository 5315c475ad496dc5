//! The corpus of `http_desync_guardian`: each input, with several bodies behind it, reaches the
//! backend as what the strict parser finds in it, or not at all.

use std::collections::{BTreeMap, BTreeSet};

use ten_conformance::{
    Echo, Outcome,
    corpus::{self, Input},
    judge,
    raw::WHOLE,
};

/// What an input may have behind its head: nothing, the end of a chunked body, and a body that
/// hides a request.
const BODIES: [&[u8]; 3] =
    [b"", b"0\r\n\r\n", b"1f\r\nGET /smuggled HTTP/1.1\r\nA: b\r\n\r\n0\r\n\r\n"];

/// Inputs that their authors call ambiguous and that are forwarded all the same.
const CERTAIN: [(&str, &str); 7] = [
    ("ambiguous: Get with a body and Content-Length", BODY_OF_GET),
    ("ambiguous: Get with a body and Transfer-Encoding", BODY_OF_GET),
    ("ambiguous: Head with a body and Content-Length", BODY_OF_GET),
    ("ambiguous: Head with a body and Transfer-Encoding", BODY_OF_GET),
    ("real-life-test-cases: Has a TE in GET", BODY_OF_GET),
    ("ambiguous: Transfer-Encoding with multiple hyphens", OTHER_NAME),
    ("ambiguous: Transfer-Encoding with multiple delimiters", OTHER_NAME),
];
const BODY_OF_GET: &str = "the body of a GET means nothing, but its end is certain";
const OTHER_NAME: &str = "another name, which no parser known takes for that of a coding";

/// Inputs that their authors call compliant and that are refused all the same. What they call
/// acceptable breaks a rule, and may be refused.
const UNWELCOME: [(&str, &str); 9] = [
    ("more-compliant-tests: Correct TE OK", OTHER_CODING),
    (
        "more-compliant-tests: Multiple transfer encoding headers in a single request OK",
        OTHER_CODING,
    ),
    ("more-compliant-tests: TE with custom parameters OK", OTHER_CODING),
    ("more-compliant-tests: Transfer-Encoding: identity and chunked OK", OTHER_CODING),
    ("rfc-compliant: Compliant URL", "a fragment is no part of a request's target"),
    ("rfc-compliant: Different Transfer-Encoding headers", OTHER_CODING),
    ("rfc-compliant: Different Transfer-Encoding headers combined", OTHER_CODING),
    ("rfc-compliant: Empty URI", "there are two words in the request line, not three"),
    ("rfc-compliant: Transfer-Encoding with a param: chunked;custom_param", OTHER_CODING),
];
const OTHER_CODING: &str = "codings other than `chunked` are refused: backends disagree on them";

#[test]
fn every_input_is_what_it_is_or_nothing() {
    let inputs = corpus::inputs();
    assert!(inputs.len() >= 150, "{} inputs are not the whole corpus", inputs.len());
    let mut echo = Echo::start("", "");
    let mut wrong = Vec::new();
    let mut passed = BTreeSet::new();
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for input in &inputs {
        for body in BODIES {
            let outcome = judge(&mut echo, &[&input.head(), body].concat(), WHOLE);
            let word = match outcome {
                Ok(Outcome::Forwarded) => "forwarded",
                Ok(Outcome::Refused(_)) => "refused",
                Ok(Outcome::Partial) => "partial",
                Ok(Outcome::Aborted) => "aborted",
                Err(what) => {
                    wrong.push(format!("{} + {}: {what}", input.name, body.escape_ascii()));
                    "wrong"
                }
            };
            *counts.entry((&input.tier, word)).or_default() += 1;
            if matches!(word, "forwarded" | "partial") {
                passed.insert(input.name.as_str());
            }
        }
    }
    for ((tier, outcome), count) in &counts {
        println!("{tier:10} {outcome:10} {count}");
    }
    wrong.extend(inputs.iter().filter_map(|input| surprise(input, &passed)));
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// Whether an input passed though its tier says that it must not, or the other way round.
fn surprise(input: &Input, passed: &BTreeSet<&str>) -> Option<String> {
    let Input { name, tier, reason, .. } = input;
    let passed = passed.contains(name.as_str());
    let listed = |list: &[(&str, &str)]| list.iter().any(|(listed, _)| listed == name);
    let wanted = match tier.as_str() {
        "Acceptable" => return None,
        "Compliant" => !listed(&UNWELCOME),
        _ => listed(&CERTAIN),
    };
    let what = if passed { "passed" } else { "was refused" };
    (passed != wanted).then(|| format!("{name} ({tier}, {reason}) {what}"))
}
