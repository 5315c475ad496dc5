//! "Did you mean": the nearest valid word.

/// The candidate that a typo most likely meant, if any is near enough: at most one edit (a
/// letter added, lost, changed, or two swapped) in three letters.
pub(crate) fn nearest<'a>(
    typed: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let typed = typed.to_lowercase();
    let most = (typed.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&typed, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Keys and names as a message lists them: `` `a`, `b` and `c` ``.
pub(crate) fn all<'a>(words: impl Iterator<Item = &'a str>) -> String {
    list(words.map(|word| format!("`{word}`")).collect(), "and")
}

/// Values as a message offers them: `"a", "b" or "c"`.
pub(crate) fn one_of<'a>(words: impl Iterator<Item = &'a str>) -> String {
    list(words.map(|word| format!("\"{word}\"")).collect(), "or")
}

fn list(mut words: Vec<String>, before_last: &str) -> String {
    match (words.pop(), words.as_slice()) {
        (None, _) => String::new(),
        (Some(only), []) => only,
        (Some(last), rest) => format!("{} {before_last} {last}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let words = ["command", "args", "listen"];
        assert_eq!(nearest("comand", words), Some("command"));
        assert_eq!(nearest("Lsiten", words), Some("listen"));
        assert_eq!(nearest("arg", words), Some("args"));
        assert_eq!(nearest("memory", words), None);
        assert_eq!(nearest("", words), None);
    }

    #[test]
    fn lists_read_like_sentences() {
        assert_eq!(all(["a", "b", "c"].into_iter()), "`a`, `b` and `c`");
        assert_eq!(one_of(["a"].into_iter()), "\"a\"");
        assert_eq!(all([].into_iter()), "");
    }
}
