//! Texts with variables in braces: `"{data_dir}/{id}/app.db"`.

use std::fmt::{self, Write as _};

/// A variable that a template may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Variable {
    /// `{name}`: the service's name.
    Name,
    /// `{id}`: the instance's id.
    Id,
    /// `{data_dir}`: the setting.
    DataDir,
    /// `{instance_dir}`: `{data_dir}/{name}/{id}`.
    InstanceDir,
    /// `{socket}`: the instance's socket path.
    Socket,
    /// `{port}`: the instance's port.
    Port,
}

impl Variable {
    /// All of them, in the order in which messages list them.
    pub const ALL: [Self; 6] =
        [Self::Name, Self::Id, Self::DataDir, Self::InstanceDir, Self::Socket, Self::Port];

    /// The word between the braces.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Id => "id",
            Self::DataDir => "data_dir",
            Self::InstanceDir => "instance_dir",
            Self::Socket => "socket",
            Self::Port => "port",
        }
    }
}

/// Why a text is not a template. `at` is a byte offset into the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// `{nmae}`.
    #[error("unknown variable {{{word}}}")]
    Unknown {
        /// What stands between the braces.
        word: String,
        /// Where its `{` stands.
        at: usize,
    },
    /// `{` without `}`.
    #[error("'{{' without '}}' (a literal brace is written '{{{{')")]
    Unclosed {
        /// Where the `{` stands.
        at: usize,
    },
    /// `}` without `{`.
    #[error("'}}' without '{{' (a literal brace is written '}}}}')")]
    Unopened {
        /// Where the `}` stands.
        at: usize,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Variable(Variable),
}

/// A parsed template. Expanding it cannot fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

/// The values of all variables for one instance.
#[derive(Debug, Clone)]
pub struct Variables<'a> {
    /// The service's name.
    pub name: &'a str,
    /// The instance's id.
    pub id: &'a str,
    /// The data folder of the whole server.
    pub data_dir: &'a str,
    /// The folder of this instance.
    pub instance_dir: &'a str,
    /// The instance's socket path; empty while that path itself is expanded.
    pub socket: &'a str,
    /// The instance's port.
    pub port: u16,
}

impl Template {
    /// A template without variables, whatever the text contains.
    pub fn literal(text: impl Into<String>) -> Self {
        Self(vec![Piece::Text(text.into())])
    }

    /// Parses `{variable}`, `{{` and `}}`.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(found) = rest.find(['{', '}']) {
            let at = text.len() - rest.len() + found;
            literal.push_str(&rest[..found]);
            let tail = &rest[found..];
            if tail.starts_with("{{") || tail.starts_with("}}") {
                literal.push_str(&tail[..1]);
                rest = &tail[2..];
                continue;
            }
            if tail.starts_with('}') {
                return Err(TemplateError::Unopened { at });
            }
            let end = tail.find('}').ok_or(TemplateError::Unclosed { at })?;
            let word = &tail[1..end];
            let variable = Variable::ALL
                .into_iter()
                .find(|v| v.word() == word)
                .ok_or_else(|| TemplateError::Unknown { word: word.into(), at })?;
            if !literal.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut literal)));
            }
            pieces.push(Piece::Variable(variable));
            rest = &tail[end + 1..];
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(Piece::Text(literal));
        }
        Ok(Self(pieces))
    }

    /// Whether it names this variable.
    pub fn mentions(&self, variable: Variable) -> bool {
        self.0.contains(&Piece::Variable(variable))
    }

    /// The text with every variable replaced.
    pub fn expand(&self, values: &Variables<'_>) -> String {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(literal) => text.push_str(literal),
                Piece::Variable(Variable::Name) => text.push_str(values.name),
                Piece::Variable(Variable::Id) => text.push_str(values.id),
                Piece::Variable(Variable::DataDir) => text.push_str(values.data_dir),
                Piece::Variable(Variable::InstanceDir) => text.push_str(values.instance_dir),
                Piece::Variable(Variable::Socket) => text.push_str(values.socket),
                Piece::Variable(Variable::Port) => {
                    write!(text, "{}", values.port).expect("writing to a String cannot fail");
                }
            }
        }
        text
    }
}

/// As it is written: what [`Template::parse`] reads again as the same template.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for piece in &self.0 {
            match piece {
                Piece::Text(literal) => {
                    f.write_str(&literal.replace('{', "{{").replace('}', "}}"))?;
                }
                Piece::Variable(variable) => write!(f, "{{{}}}", variable.word())?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: Variables<'_> = Variables {
        name: "api",
        id: "prod",
        data_dir: "/d",
        instance_dir: "/d/api/prod",
        socket: "/s",
        port: 30001,
    };

    #[test]
    fn expands_every_variable_and_literal_braces() {
        let text = "{name}:{id} {data_dir} {instance_dir} {socket} {port} {{x}}";
        let got = Template::parse(text).unwrap().expand(&VALUES);
        assert_eq!(got, "api:prod /d /d/api/prod /s 30001 {x}");
    }

    #[test]
    fn shows_itself_as_it_is_written() {
        let text = "{name}:{id} {{x}}";
        assert_eq!(Template::parse(text).unwrap().to_string(), text);
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        let unknown = TemplateError::Unknown { word: "nmae".into(), at: 2 };
        assert_eq!(Template::parse("a {nmae}"), Err(unknown));
        assert_eq!(Template::parse("é{id"), Err(TemplateError::Unclosed { at: 2 }));
        assert_eq!(Template::parse("a}b"), Err(TemplateError::Unopened { at: 1 }));
    }

    #[test]
    fn a_literal_is_never_expanded() {
        assert_eq!(Template::literal("{id}").expand(&VALUES), "{id}");
    }
}
