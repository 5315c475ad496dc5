//! What was typed: tables whose values have the right type, each with its place in the text.
//! A value with a mistake in it is present but empty, so that nothing is reported twice. Only
//! [`check`](crate::check) makes these; asking for a key that the table does not have, or as
//! another type, is a bug here and panics.

use std::{collections::BTreeMap, ops::Range, time::Duration};

use crate::keys::{Default, Key};

/// A string and the bytes of the source that spell it, quotes included.
#[derive(Debug, Clone)]
pub(crate) struct Text {
    pub(crate) value: String,
    pub(crate) span: Range<usize>,
}

/// A value of a type that its key allows.
#[derive(Debug)]
pub(crate) enum Typed {
    Text(Text),
    Texts(Vec<Text>),
    Boolean(bool),
    Integer(i64),
    Seconds(Duration),
    Word(&'static str),
    Table(Section),
    Named(Vec<(Text, Option<Typed>)>),
}

/// One key of a table that was given.
#[derive(Debug)]
struct Given {
    key_span: Range<usize>,
    /// `None`: there was a mistake in it.
    value: Option<Typed>,
}

/// One table.
#[derive(Debug)]
pub(crate) struct Section {
    keys: &'static [Key],
    given: BTreeMap<&'static str, Given>,
}

impl Section {
    pub(crate) fn new(keys: &'static [Key]) -> Self {
        Self { keys, given: BTreeMap::new() }
    }

    /// Notes a key. The first spelling of a key that was given twice stays, but a table of
    /// names takes in the names of the second.
    pub(crate) fn insert(
        &mut self,
        key: &'static Key,
        key_span: Range<usize>,
        value: Option<Typed>,
    ) {
        match (self.given.get_mut(key.name), value) {
            (Some(Given { value: Some(Typed::Named(first)), .. }), Some(Typed::Named(second))) => {
                first.extend(second);
            }
            (Some(_), _) => {}
            (None, value) => {
                self.given.insert(key.name, Given { key_span, value });
            }
        }
    }

    /// Where the key was given, with or without a mistake in its value.
    pub(crate) fn place(&self, name: &str) -> Option<Range<usize>> {
        self.given.get(self.key(name).name).map(|given| given.key_span.clone())
    }

    pub(crate) fn text(&self, name: &str) -> Option<&Text> {
        match self.value(name)? {
            Typed::Text(text) => Some(text),
            other => wrong(name, other),
        }
    }

    pub(crate) fn texts(&self, name: &str) -> Option<&[Text]> {
        match self.value(name)? {
            Typed::Texts(texts) => Some(texts),
            other => wrong(name, other),
        }
    }

    /// The given number, else the default.
    pub(crate) fn integer(&self, name: &str) -> u64 {
        self.integer_given(name).unwrap_or_else(|| not_negative(self.default_number(name)))
    }

    /// The given number, else the default, as a type that holds all that the key allows.
    pub(crate) fn number<T: TryFrom<u64>>(&self, name: &str) -> T {
        let number = self.integer(name);
        T::try_from(number)
            .unwrap_or_else(|_| panic!("`{name}` allows {number}, which is too much"))
    }

    pub(crate) fn integer_given(&self, name: &str) -> Option<u64> {
        match self.value(name)? {
            Typed::Integer(number) => Some(not_negative(*number)),
            other => wrong(name, other),
        }
    }

    /// The given yes or no, else the default.
    pub(crate) fn boolean(&self, name: &str) -> bool {
        match (self.value(name), self.key(name).default) {
            (Some(Typed::Boolean(given)), _) => *given,
            (Some(other), _) => wrong(name, other),
            (None, Default::Boolean(default)) => default,
            (None, other) => panic!("`{name}` has the default {other:?}, which is no boolean"),
        }
    }

    /// The given duration, else the default.
    pub(crate) fn seconds(&self, name: &str) -> Duration {
        self.seconds_given(name).unwrap_or_else(|| {
            let seconds = self.default_number(name);
            Duration::from_secs(seconds.try_into().expect("no default is below 0"))
        })
    }

    pub(crate) fn seconds_given(&self, name: &str) -> Option<Duration> {
        match self.value(name)? {
            Typed::Seconds(duration) => Some(*duration),
            other => wrong(name, other),
        }
    }

    /// The given word, else the default.
    pub(crate) fn word(&self, name: &str) -> &str {
        match self.value(name) {
            Some(Typed::Word(word)) => word,
            Some(Typed::Text(text)) => &text.value,
            Some(other) => wrong(name, other),
            None => self.default_text(name),
        }
    }

    pub(crate) fn table(&self, name: &str) -> Option<&Section> {
        match self.value(name)? {
            Typed::Table(section) => Some(section),
            other => wrong(name, other),
        }
    }

    /// The names in a table of names, each with its value.
    pub(crate) fn named(&self, name: &str) -> &[(Text, Option<Typed>)] {
        match self.value(name) {
            Some(Typed::Named(entries)) => entries,
            Some(other) => wrong(name, other),
            None => &[],
        }
    }

    /// What an absent string means.
    pub(crate) fn default_text(&self, name: &str) -> &'static str {
        match self.key(name).default {
            Default::Text(text) => text,
            other => panic!("`{name}` has the default {other:?}, which is no string"),
        }
    }

    fn default_number(&self, name: &str) -> i64 {
        match self.key(name).default {
            Default::Number(number) => number,
            other => panic!("`{name}` has the default {other:?}, which is no number"),
        }
    }

    fn value(&self, name: &str) -> Option<&Typed> {
        self.given.get(self.key(name).name)?.value.as_ref()
    }

    fn key(&self, name: &str) -> &'static Key {
        let found = self.keys.iter().find(|key| key.name == name);
        found.unwrap_or_else(|| panic!("the table has no key `{name}`"))
    }
}

fn not_negative(number: i64) -> u64 {
    u64::try_from(number).expect("no built key allows a number below 0")
}

fn wrong(name: &str, value: &Typed) -> ! {
    panic!("`{name}` was read as another type than its key has: {value:?}")
}
