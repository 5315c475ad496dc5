//! Mistakes of TOML's own syntax, in the look and words of all others. The parser recovers
//! and finds several at once.

use toml::de::Error;

use crate::mistakes::Mistake;

/// What the parser says of one mistake in `text`, in plainer words where there are any.
pub(crate) fn mistake(error: &Error, text: &str) -> Mistake {
    let span = error.span().unwrap_or(text.len()..text.len());
    let found = text.get(span.clone()).unwrap_or_default();
    let (problem, expected) = error.message().split_once(", ").unwrap_or((error.message(), ""));
    let at = |title: &str| Mistake::at(span.clone(), format!("not TOML: {title}"));
    match problem {
        "duplicate key" => at(&format!("`{found}` is given twice"))
            .label("given before")
            .help("a key or table is written once; keep one of them"),
        "string values must be quoted" if found.is_empty() => {
            at("a value is missing").label("expected a value")
        }
        "string values must be quoted" => at("text must be in quotes")
            .help("put it in double quotes; numbers, true and false have none"),
        _ if problem.ends_with("string")
            && matches!(expected, "expected `\"`" | "expected `'`") =>
        {
            at("a string is not closed").label(expected)
        }
        _ => at(problem).label(expected),
    }
}
