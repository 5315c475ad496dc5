//! Texts of the config that are more than they say: `${NAME}` of ten's own environment and
//! the template variables of an instance.
//!
//! `${NAME}` and `${NAME:-default}` are replaced first, once, when the config is loaded; what
//! they stand for is taken literally and never read as a template, so that a secret may
//! contain any brace. As in a shell, the default also stands in for an empty variable, and
//! ends at the first `}`. Then `{variable}`, `{{` and `}}` are read. A `$` without `{` is a
//! `$`, and so is one before `{{`: `${{HOME}}` means the text `${HOME}`.

use std::ops::Range;

use ten_domain::{Template, TemplateError, Variable};

use crate::{Source, mistakes::Mistake, suggest, typed::Text};

/// Where a word of the config stands in the source.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// Spelt byte for byte from this offset on.
    From(usize),
    /// Somewhere in here, spelt with escapes.
    Within(Range<usize>),
}

impl Place {
    /// The place of a string's contents.
    pub(crate) fn of(text: &Text, source: &Source) -> Self {
        let spelt = source.text().get(text.span.clone()).unwrap_or_default();
        match spelt.find(&text.value) {
            Some(at) => Self::From(text.span.start + at),
            None => Self::Within(text.span.clone()),
        }
    }

    /// The place of one word of a text that stands here. It is looked for from `*from` on,
    /// which is moved behind it.
    pub(crate) fn of_word(&self, text: &Text, from: &mut usize, word: &str) -> Self {
        let found = text.value[*from..].find(word);
        match (self, found) {
            (Self::From(start), Some(found)) => {
                let at = *from + found;
                *from = at + word.len();
                Self::From(start + at)
            }
            _ => Self::Within(text.span.clone()),
        }
    }

    /// The bytes of the source that spell a part of it.
    pub(crate) fn span(&self, part: Range<usize>) -> Range<usize> {
        match self {
            Self::From(start) => start + part.start..start + part.end,
            Self::Within(whole) => whole.clone(),
        }
    }
}

/// Reads templates and collects what is wrong with them.
pub(crate) struct Templates<'a> {
    /// ten's own environment.
    pub(crate) lookup: &'a dyn Fn(&str) -> Option<String>,
    pub(crate) mistakes: &'a mut Vec<Mistake>,
}

impl Templates<'_> {
    /// Reads the template `text` of `key`, which may name `variables`.
    pub(crate) fn read(
        &mut self,
        key: &str,
        text: &str,
        place: &Place,
        variables: &[Variable],
    ) -> Option<Template> {
        let before = self.mistakes.len();
        let mut template = String::new();
        let mut done = 0;
        while let Some(start) = next_reference(text, done) {
            self.segment(key, text, done..start, place, variables);
            template += &text[done..start];
            let Some(length) = text[start..].find('}') else {
                self.unclosed(text, start, place);
                done = text.len();
                break;
            };
            done = start + length + 1;
            if let Some(value) = self.reference(&text[start..done], start, place) {
                template += &value.replace('{', "{{").replace('}', "}}");
            }
        }
        self.segment(key, text, done..text.len(), place, variables);
        template += &text[done..];
        (self.mistakes.len() == before).then(|| {
            // Each segment is a template by itself, so what they make together is one.
            Template::parse(&template).expect("a row of templates is a template")
        })
    }

    /// A part of the text between references.
    fn segment(
        &mut self,
        key: &str,
        text: &str,
        part: Range<usize>,
        place: &Place,
        variables: &[Variable],
    ) {
        let mut start = part.start;
        loop {
            let rest = &text[start..part.end];
            match Template::parse(rest) {
                Ok(template) => {
                    for variable in Variable::ALL {
                        if template.mentions(variable) && !variables.contains(&variable) {
                            let token = format!("{{{}}}", variable.word());
                            let at = start + rest.find(&token).unwrap_or(0);
                            let span = place.span(at..at + token.len());
                            self.mistakes.push(not_here(key, variable, variables, span));
                        }
                    }
                    return;
                }
                Err(TemplateError::Unknown { word, at }) => {
                    let end = start + at + word.len() + 2;
                    let span = place.span(start + at..end);
                    self.mistakes.push(unknown_variable(&word, variables, span));
                    start = end;
                }
                Err(TemplateError::Unclosed { at }) => {
                    let span = place.span(start + at..start + at + 1);
                    self.mistakes.push(
                        Mistake::at(span, "`{` without `}`")
                            .help("close the variable, such as {id}; a literal brace is `{{`"),
                    );
                    return;
                }
                Err(TemplateError::Unopened { at }) => {
                    let span = place.span(start + at..start + at + 1);
                    self.mistakes
                        .push(Mistake::at(span, "`}` without `{`").help("a literal brace is `}}`"));
                    start += at + 1;
                }
            }
        }
    }

    /// `${NAME}` or `${NAME:-default}`, which starts at `start`.
    fn reference(&mut self, whole: &str, start: usize, place: &Place) -> Option<String> {
        let inside = &whole[2..whole.len() - 1];
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        let span = place.span(start..start + whole.len());
        if !is_variable_name(name) {
            self.mistakes.push(
                Mistake::at(span, format!("`{whole}` does not name an environment variable"))
                    .help("write ${NAME} or ${NAME:-default}; a literal `${` is written `${{`"),
            );
            return None;
        }
        let value = (self.lookup)(name);
        match (value.filter(|value| default.is_none() || !value.is_empty()), default) {
            (Some(value), _) => Some(value),
            (None, Some(default)) => Some(default.into()),
            (None, None) => {
                let title = format!("the environment variable `{name}` is not set");
                self.mistakes.push(Mistake::at(span, title).help(format!(
                    "set it where ten is started, or give a default: ${{{name}:-default}}"
                )));
                None
            }
        }
    }

    fn unclosed(&mut self, text: &str, start: usize, place: &Place) {
        self.mistakes
            .push(Mistake::at(place.span(start..text.len()), "`${` without `}`").help(
                "write ${NAME}; in `command`, quote a default with spaces: \"${NAME:-a b}\"",
            ));
    }
}

/// Where the next `${` stands that is not `${{`.
fn next_reference(text: &str, from: usize) -> Option<usize> {
    text[from..]
        .match_indices("${")
        .map(|(at, _)| from + at)
        .find(|at| !text[*at..].starts_with("${{"))
}

/// Names of environment variables as shells take them (POSIX, "Name").
pub(crate) fn is_variable_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn unknown_variable(word: &str, variables: &[Variable], span: Range<usize>) -> Mistake {
    let mistake = Mistake::at(span, format!("unknown variable {{{word}}}"));
    let near = suggest::nearest(word, variables.iter().map(|variable| variable.word()));
    let mistake = match near {
        Some(near) => mistake.label(format!("did you mean {{{near}}}?")),
        None => mistake,
    };
    mistake.help(format!("{}; a literal brace is written `{{{{`", usable(variables)))
}

fn not_here(key: &str, variable: Variable, variables: &[Variable], span: Range<usize>) -> Mistake {
    let word = variable.word();
    Mistake::at(span, format!("`{key}` cannot use {{{word}}}"))
        .label("has no value here")
        .help(usable(variables))
}

fn usable(variables: &[Variable]) -> String {
    let words: Vec<_> = variables.iter().map(|v| format!("{{{}}}", v.word())).collect();
    match words.as_slice() {
        [] => "only ${NAME} works here, once for the whole server".into(),
        words => format!("the variables here are {}", words.join(" ")),
    }
}

#[cfg(test)]
mod tests;
