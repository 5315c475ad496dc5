//! Names: `ServiceName`, `InstanceId`, and the two together, `InstanceName` (`api:prod`).
//!
//! A name is a DNS label that also never contains `--`, because `{id}--{service}` is one of
//! the two spellings of an instance's hostname. A value of these types is always valid, so
//! nothing below ever meets `..`, `/`, an empty string or an upper-case letter: a name is
//! safe as a folder, a cgroup and a host label.

use std::{fmt, str::FromStr, sync::Arc};

/// Longest name, in bytes: the longest DNS label (RFC 1035, section 2.3.4).
const MAX_LEN: usize = 63;

/// Why a text is not a name. The `Display` text states the rule that was broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing at all.
    #[error("is empty; a name has 1 to 63 characters")]
    Empty,
    /// Longer than a DNS label.
    #[error("has {len} characters; a name has at most {MAX_LEN}")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// A character that names do not have.
    #[error("contains {found:?}; a name has only a-z, 0-9 and '-'")]
    Character {
        /// The first such character.
        found: char,
    },
    /// `-` at an end.
    #[error("starts or ends with '-'; a name starts and ends with a letter or digit")]
    Edge,
    /// `--` inside.
    #[error("contains '--', which separates id and service in hostnames")]
    DoubleDash,
    /// An instance name without its colon.
    #[error("is not of the form service:id")]
    NotAnInstance,
}

fn check(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if let Some(found) = text.chars().find(|c| !legal(*c)) {
        return Err(NameError::Character { found });
    }
    if text.len() > MAX_LEN {
        return Err(NameError::TooLong { len: text.len() });
    }
    if text.starts_with('-') || text.ends_with('-') {
        return Err(NameError::Edge);
    }
    if text.contains("--") {
        return Err(NameError::DoubleDash);
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                check(text).map(|()| Self(text.into()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name! {
    /// The name of a service: the key of its `[service.NAME]` section.
    ServiceName
}
name! {
    /// The id of one instance of a service.
    InstanceId
}

/// The full name of an instance, written `service:id`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InstanceName {
    /// The template it is a copy of.
    pub service: ServiceName,
    /// Which copy.
    pub id: InstanceId,
}

impl InstanceName {
    /// Puts the two halves together.
    pub fn new(service: ServiceName, id: InstanceId) -> Self {
        Self { service, id }
    }
}

impl FromStr for InstanceName {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let (service, id) = text.split_once(':').ok_or(NameError::NotAnInstance)?;
        Ok(Self::new(service.parse()?, id.parse()?))
    }
}

impl fmt::Display for InstanceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}:{}", self.service, self.id))
    }
}

impl fmt::Debug for InstanceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.service, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_labels() {
        for ok in ["a", "0", "api", "a-b-c", "x9", &"a".repeat(63)] {
            assert_eq!(ok.parse::<InstanceId>().unwrap().as_str(), ok);
        }
    }

    #[test]
    fn refuses_everything_else_with_the_rule() {
        let long = "a".repeat(64);
        for (bad, want) in [
            ("", NameError::Empty),
            (long.as_str(), NameError::TooLong { len: 64 }),
            ("..", NameError::Character { found: '.' }),
            ("a/../b", NameError::Character { found: '/' }),
            ("%2e", NameError::Character { found: '%' }),
            ("Prod", NameError::Character { found: 'P' }),
            ("a b", NameError::Character { found: ' ' }),
            ("a\0", NameError::Character { found: '\0' }),
            ("é", NameError::Character { found: 'é' }),
            ("a_b", NameError::Character { found: '_' }),
            ("-a", NameError::Edge),
            ("a-", NameError::Edge),
            ("a--b", NameError::DoubleDash),
        ] {
            assert_eq!(bad.parse::<InstanceId>(), Err(want), "{bad:?}");
        }
        assert_eq!("api".parse::<InstanceName>(), Err(NameError::NotAnInstance));
        assert_eq!("api:a:b".parse::<InstanceName>(), Err(NameError::Character { found: ':' }));
    }
}
