use super::*;

const VALUES: ten_domain::Variables<'_> = ten_domain::Variables {
    name: "api",
    id: "prod",
    data_dir: "/d",
    instance_dir: "/d/api/prod",
    socket: "/s",
    port: 30001,
};

fn expand(text: &str) -> Result<String, Vec<String>> {
    let lookup = |name: &str| match name {
        "SECRET" => Some("{id} ${HOME} }".to_string()),
        "EMPTY" => Some(String::new()),
        _ => None,
    };
    let mut mistakes = Vec::new();
    let mut templates = Templates { lookup: &lookup, mistakes: &mut mistakes };
    let template = templates.read("key", text, &Place::From(0), &Variable::ALL);
    template
        .map(|template| template.expand(&VALUES))
        .ok_or_else(|| mistakes.iter().map(|m| text[m.span.clone()].to_string()).collect())
}

#[test]
fn references_come_first_and_their_values_are_literal() {
    for (text, want) in [
        ("{id}-${SECRET}-{port}", "prod-{id} ${HOME} }-30001"),
        ("${UNSET:-{id}", "{id"),
        ("${UNSET:-}", ""),
        ("[${EMPTY}]", "[]"),
        ("${EMPTY:-x}", "x"),
        ("$ $HOME 5$ $", "$ $HOME 5$ $"),
        ("${{HOME}}", "${HOME}"),
        ("a${{b}}${EMPTY:-c}", "a${b}c"),
    ] {
        assert_eq!(expand(text).as_deref(), Ok(want), "{text}");
    }
}

#[test]
fn every_mistake_is_found_where_it_stands() {
    for (text, want) in [
        ("{nmae} ${UNSET} {prot}", vec!["{nmae}", "${UNSET}", "{prot}"]),
        ("${1X} ${}", vec!["${1X}", "${}"]),
        ("a ${X", vec!["${X"]),
        ("a } b {", vec!["}", "{"]),
        ("{na${EMPTY}me}", vec!["{", "}"]),
    ] {
        let mut got = expand(text).unwrap_err();
        let mut want: Vec<_> = want.into_iter().map(String::from).collect();
        got.sort();
        want.sort();
        assert_eq!(got, want, "{text}");
    }
}
