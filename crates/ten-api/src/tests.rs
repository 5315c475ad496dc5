//! The wire forms that callers depend on.

use serde_json::{from_value, json, to_value};

use super::*;

#[test]
fn a_problem_has_the_members_of_rfc_9457() {
    let problem = Problem::new(ProblemType::UnknownService, "no service is called apo")
        .with_hint("`ten config` lists the services");
    let wire = to_value(&problem).unwrap();
    assert_eq!(
        wire,
        json!({
            "type": "urn:tenement:problem:unknown-service",
            "title": "There is no such service",
            "status": 404,
            "detail": "no service is called apo",
            "hint": "`ten config` lists the services",
        })
    );
    assert_eq!(from_value::<Problem>(wire).unwrap(), problem);
}

#[test]
fn process_means_service_and_waiting_is_the_default() {
    let spawn: SpawnRequest = from_value(json!({"process": "api", "id": "prod"})).unwrap();
    assert_eq!(spawn.service, "api");
    assert!(spawn.wait);
    assert!(spawn.env.is_empty());
}

#[test]
fn misspelt_fields_are_refused() {
    assert!(from_value::<SpawnRequest>(json!({"service": "a", "id": "b", "wiat": false})).is_err());
    assert!(from_value::<Weight>(json!({"weight": 20, "of": 100})).is_err());
    assert!(from_value::<Weight>(json!({"weight": 256})).is_err());
}

#[test]
fn words_are_the_same_on_the_wire_and_on_the_screen() {
    for state in [State::Sleeping, State::Running, State::Failed] {
        assert_eq!(to_value(state).unwrap(), json!(state.to_string()));
    }
    assert_eq!(to_value(Stream::Stderr).unwrap(), json!("stderr"));
    assert_eq!(to_value(Health::Degraded).unwrap(), json!("degraded"));
}

#[test]
fn paths_fill_in_their_patterns() {
    assert_eq!(paths::instance_stop("api", "prod"), "/api/instances/api/prod/stop");
}

#[test]
fn frames_survive_however_they_are_cut() {
    let size = TerminalSize { rows: 24, columns: 300 };
    let mut wire = Frame::encode(FrameKind::Stdin, b"");
    wire.extend(Frame::encode(FrameKind::Stdout, &[7; FRAME_MAX]));
    wire.extend(Frame::resize(size));
    for cut in [1, 3, 5, 4096, wire.len()] {
        let (mut frames, mut got) = (Frames::default(), Vec::new());
        for piece in wire.chunks(cut) {
            frames.push(piece);
            got.extend(std::iter::from_fn(|| frames.take().unwrap()));
        }
        assert_eq!(got.len(), 3);
        assert_eq!((got[0].kind, got[0].content.len()), (FrameKind::Stdin, 0));
        assert_eq!((got[1].kind, got[1].content.len()), (FrameKind::Stdout, FRAME_MAX));
        assert_eq!(got[2].size(), Ok(size));
    }
}

#[test]
fn what_is_no_frame_is_refused_before_it_is_waited_for() {
    for noise in [[5, 0, 0, 0, 0], [0, 0, 1, 0, 1], [255; 5]] {
        let mut frames = Frames::default();
        frames.push(&noise);
        assert_eq!(frames.take(), Err(BadFrame), "{noise:?}");
    }
}

#[test]
fn a_terminal_is_asked_for_by_its_size() {
    let wire = json!({"argv": ["sh"], "terminal": {"rows": 24, "columns": 80, "kind": "xterm"}});
    let request: ExecRequest = from_value(wire.clone()).unwrap();
    assert_eq!(request.terminal.as_ref().unwrap().size, TerminalSize { rows: 24, columns: 80 });
    assert_eq!(to_value(request).unwrap(), wire);
    assert_eq!(to_value(ExecExit::Code(3)).unwrap(), json!({"code": 3}));
}
