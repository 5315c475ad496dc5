use proptest::prelude::*;

use super::*;

/// A frame as it goes over the wire; the key and the payload are of no importance.
fn frame(opcode: u8, masked: bool, length: usize) -> Vec<u8> {
    let mask = if masked { 0x80 } else { 0 };
    let mut frame = vec![opcode];
    match length {
        0..=125 => frame.push(mask | length as u8),
        126..=0xFFFF => {
            frame.push(mask | 126);
            frame.extend((length as u16).to_be_bytes());
        }
        _ => {
            frame.push(mask | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.resize(frame.len() + length + if masked { 4 } else { 0 }, 0x88);
    frame
}

/// Where frames end, if the bytes come in pieces of this size.
fn ends(bytes: &[u8], piece: usize) -> Vec<usize> {
    let (mut frames, mut at, mut ends) = (Frames::default(), 0, vec![]);
    for piece in bytes.chunks(piece) {
        let end = at + piece.len();
        while at < end {
            at += frames.step(&bytes[at..end]);
            if frames.between() {
                ends.push(at);
            }
        }
    }
    ends
}

proptest! {
    /// Whatever the frames, and however they are cut into pieces.
    #[test]
    fn each_end_is_found(
        shapes in prop::collection::vec(
            (
                prop_oneof![Just(0x01), Just(0x82), Just(0x00), Just(0xC1), Just(0x89), Just(0x8A)],
                any::<bool>(),
                prop_oneof![0..4usize, 124..128usize, 65_534..65_538usize],
            ),
            1..6,
        ),
        piece in prop_oneof![1..20usize, 1_000..100_000usize],
    ) {
        let (mut bytes, mut expected) = (vec![], vec![]);
        for (opcode, masked, length) in shapes {
            bytes.extend(frame(opcode, masked, length));
            expected.push(bytes.len());
        }
        prop_assert_eq!(ends(&bytes, piece), expected);
    }
}

#[test]
fn a_close_is_the_last_frame() {
    for close in [frame(0x88, false, 0), frame(0x88, true, 2), frame(0x88, false, 125)] {
        let mut frames = Frames::default();
        assert_eq!(frames.step(&close[..close.len() - 1]), close.len() - 1);
        assert!(!frames.closed());
        assert_eq!(frames.step(&close[close.len() - 1..]), 1);
        assert!(frames.closed() && frames.between());
        assert_eq!(frames.step(b"whatever"), 8);
        assert!(frames.closed());
    }
}

#[test]
fn an_impossible_length_ends_the_following() {
    let mut frames = Frames::default();
    frames.step(&[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0]);
    assert!(!frames.between() && !frames.closed());
    assert_eq!(frames.step(&frame(0x88, false, 0)), 2);
    assert!(!frames.between() && !frames.closed());

    // One less is a frame, of which no end will be seen.
    let mut frames = Frames::default();
    frames.step(&[0x82, 0x80 | 127, 0x7F, 255, 255, 255, 255, 255, 255, 255]);
    assert_eq!(frames.step(&frame(0x88, false, 0)), 2);
    assert!(!frames.between() && !frames.closed());
}
