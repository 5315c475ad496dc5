//! The document against the table of keys: unknown keys, wrong types, values out of range and
//! keys that are not built yet. What is left is [`typed`](crate::typed). Knows no key by name.

mod wording;

use std::{ops::Range, time::Duration};

use toml::{
    Spanned,
    de::{DeInteger, DeTable, DeValue},
};

use wording::{NOTHING_WEAKER, below};

use crate::{
    keys::{self, Default, Key, Kind, YEAR},
    mistakes::Mistake,
    suggest,
    typed::{Section, Text, Typed},
};

/// Checks the whole document.
pub(crate) fn document(table: &DeTable<'_>) -> (Section, Vec<Mistake>) {
    let mut check = Check { mistakes: Vec::new() };
    let root = check.table("", keys::ROOT, table, None);
    (root, check.mistakes)
}

struct Check {
    mistakes: Vec<Mistake>,
}

impl Check {
    /// One table. `path` is how its header is written, without brackets; `header` is where
    /// its name stands, `None` for the document itself.
    fn table(
        &mut self,
        path: &str,
        keys: &'static [Key],
        table: &DeTable<'_>,
        header: Option<Range<usize>>,
    ) -> Section {
        let mut section = Section::new(keys);
        for (name, value) in in_order(table) {
            let Some(key) = keys.iter().find(|key| key.names().any(|own| own == *name.get_ref()))
            else {
                self.mistakes.push(wording::unknown(path, keys, name));
                continue;
            };
            let span = name.span();
            if let Some(first) = section.place(key.name)
                && !matches!(key.kind, Kind::Named(_))
            {
                self.mistakes.push(wording::twice(key, first, span.clone()));
            }
            let typed = self.value(&below(path, name.get_ref()), name, &key.kind, value);
            if !key.built {
                self.mistakes.push(wording::not_built(path, key, span.clone()));
            }
            section.insert(key, span, typed);
        }
        if let Some(header) = header {
            let typed = table.keys().map(|name| name.get_ref().as_ref());
            self.require(path, keys, &typed.collect::<Vec<_>>(), header);
        }
        section
    }

    /// Misses what must be there, unless a misspelt key that was reported may be it.
    fn require(&mut self, path: &str, keys: &[Key], typed: &[&str], header: Range<usize>) {
        for key in keys.iter().filter(|key| matches!(key.default, Default::Required)) {
            let meant = |typed: &&str| suggest::nearest(typed, [key.name]).is_some();
            if !typed.iter().any(meant) {
                self.mistakes.push(wording::missing(path, key, header.clone()));
            }
        }
    }

    /// One value. `name` is its key, or the key of the list it stands in.
    fn value(
        &mut self,
        path: &str,
        name: &Spanned<impl AsRef<str>>,
        kind: &'static Kind,
        value: &Spanned<DeValue<'_>>,
    ) -> Option<Typed> {
        let word = name.get_ref().as_ref();
        let span = value.span();
        match (kind, value.get_ref()) {
            (Kind::Text, DeValue::String(text)) => self.text(word, text, span).map(Typed::Text),
            (Kind::Texts, DeValue::Array(items)) => self.texts(word, items).map(Typed::Texts),
            (Kind::Boolean, DeValue::Boolean(given)) => Some(Typed::Boolean(*given)),
            (Kind::Integer { min, max }, DeValue::Integer(number)) => {
                let number = integer(number).filter(|number| (*min..=*max).contains(number));
                self.ranged(word, kind, span, number.map(Typed::Integer))
            }
            (Kind::Seconds { min }, DeValue::Integer(_) | DeValue::Float(_)) => {
                let seconds = seconds(value.get_ref(), *min);
                self.ranged(word, kind, span, seconds.map(Typed::Seconds))
            }
            (Kind::Word { words, later }, DeValue::String(text)) => {
                self.word(word, (words, later), text, span)
            }
            (Kind::Signal, DeValue::String(text)) => self.signal(word, text, span),
            (Kind::User, DeValue::String(_) | DeValue::Integer(_)) => self.user(word, value),
            (Kind::Table(keys), DeValue::Table(table)) => {
                Some(Typed::Table(self.table(path, keys, table, Some(name.span()))))
            }
            (Kind::Named(inner), DeValue::Table(table)) => {
                let entries = in_order(table).into_iter().map(|(name, value)| {
                    let text = Text { value: name.get_ref().to_string(), span: name.span() };
                    (text, self.value(&below(path, name.get_ref()), name, inner, value))
                });
                Some(Typed::Named(entries.collect()))
            }
            (_, found) => {
                // Tables and lists of tables span their whole header or more: their name is
                // what is meant.
                let mistyped = match (kind, found) {
                    (_, DeValue::Table(_))
                    | (Kind::Table(_) | Kind::Named(_), DeValue::Array(_)) => {
                        wording::mistyped(&format!("`{word}`"), kind, found, name.span())
                    }
                    _ => wording::mistyped(&format!("`{word}`"), kind, found, span),
                };
                self.mistakes.push(match kind {
                    Kind::Table(_) | Kind::Named(_) => wording::with_header(mistyped, kind, path),
                    _ => mistyped,
                });
                None
            }
        }
    }

    /// Every item is looked at before one bad item spoils the list.
    fn texts(&mut self, key: &str, items: &[Spanned<DeValue<'_>>]) -> Option<Vec<Text>> {
        let texts = items.iter().map(|item| match item.get_ref() {
            DeValue::String(text) => self.text(key, text, item.span()),
            found => {
                let what = format!("each item of `{key}`");
                self.mistakes.push(wording::mistyped(&what, &Kind::Text, found, item.span()));
                None
            }
        });
        texts.collect::<Vec<_>>().into_iter().collect()
    }

    /// No string of a config may hold NUL: none of the system calls it ends in can take one.
    fn text(&mut self, key: &str, text: &str, span: Range<usize>) -> Option<Text> {
        if !text.contains('\0') {
            return Some(Text { value: text.into(), span });
        }
        self.mistakes.push(
            Mistake::at(span, format!("`{key}` contains a NUL character"))
                .help("remove `\\u0000`; no program can be given one"),
        );
        None
    }

    fn ranged(
        &mut self,
        key: &str,
        kind: &Kind,
        span: Range<usize>,
        typed: Option<Typed>,
    ) -> Option<Typed> {
        if typed.is_none() {
            let title = format!("`{key}` is out of range");
            let label = format!("must be {}", kind.expected());
            self.mistakes.push(Mistake::at(span, title).label(label));
        }
        typed
    }

    fn word(
        &mut self,
        key: &str,
        (words, later): (&[&'static str], &[&'static str]),
        text: &str,
        span: Range<usize>,
    ) -> Option<Typed> {
        if let Some(word) = words.iter().find(|word| **word == text) {
            return Some(Typed::Word(word));
        }
        let usable = suggest::one_of(words.iter().copied());
        let mistake = if later.contains(&text) {
            Mistake::at(span, format!("`{key} = \"{text}\"` is not supported yet"))
                .help(format!("use {usable}; {NOTHING_WEAKER}"))
        } else {
            let all = words.iter().chain(later).copied();
            let mistake = Mistake::at(span, format!("`{key}` cannot be {text:?}"))
                .label(format!("must be {usable}"));
            match suggest::nearest(text, all) {
                Some(near) => mistake.help(format!("did you mean \"{near}\"?")),
                None => mistake,
            }
        };
        self.mistakes.push(mistake);
        None
    }

    fn signal(&mut self, key: &str, text: &str, span: Range<usize>) -> Option<Typed> {
        if text.parse::<ten_domain::StopSignal>().is_ok() {
            return Some(Typed::Text(Text { value: text.into(), span }));
        }
        let mistake = Mistake::at(span, format!("`{key}` cannot be {text:?}"))
            .label(format!("must be {}", Kind::Signal.expected()));
        let full = format!("SIG{}", text.trim_start_matches("SIG").trim_start_matches("sig"));
        self.mistakes.push(match suggest::nearest(&full, ten_domain::StopSignal::names()) {
            Some(near) => mistake.help(format!("did you mean \"{near}\"?")),
            None => mistake,
        });
        None
    }

    /// As a text: a user whose name is a number is who chown(1) would take it for.
    fn user(&mut self, key: &str, value: &Spanned<DeValue<'_>>) -> Option<Typed> {
        let span = value.span();
        let given = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            other => other.as_integer().map(ToString::to_string).unwrap_or_default(),
        };
        let is_number = given.parse::<i128>().is_ok();
        // The highest number means "no change" to the kernel (setresuid(2)).
        let is_uid = given.parse::<u32>().is_ok_and(|uid| uid != u32::MAX);
        if given.is_empty() || given.contains([':', '\0', '/']) || is_number && !is_uid {
            self.mistakes.push(
                Mistake::at(span, format!("`{key}` cannot be {given:?}"))
                    .label(format!("must be {}", Kind::User.expected())),
            );
            return None;
        }
        Some(Typed::Text(Text { value: given, span }))
    }
}

/// The keys in the order of the text: of two spellings of one key, the first is the first.
fn in_order<'t, 'i>(
    table: &'t DeTable<'i>,
) -> Vec<(&'t Spanned<toml::de::DeString<'i>>, &'t Spanned<DeValue<'i>>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    entries
}

fn integer(number: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

/// At least `min` seconds and at most a year; not NaN.
fn seconds(value: &DeValue<'_>, min: f64) -> Option<Duration> {
    let seconds = match value {
        DeValue::Integer(number) => integer(number)? as f64,
        DeValue::Float(number) => number.as_str().parse().ok()?,
        _ => return None,
    };
    let legal = (min..=YEAR as f64).contains(&seconds);
    legal.then(|| Duration::try_from_secs_f64(seconds).ok()).flatten()
}
