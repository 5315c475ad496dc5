use std::future::poll_fn;

use super::*;

#[tokio::test]
async fn what_is_put_back_comes_first() {
    let lent = Lent { reader: None, shelf: Shelf::default() };
    let mut upload = Upload::http1(lent);
    let pieces = |text: &'static str| text.split(' ').map(Bytes::from);
    upload.put_back(pieces("a b c"));
    for passed in ["a", "b"] {
        let piece = poll_fn(|cx| upload.poll_data(cx).map(|it| it.unwrap().unwrap().to_vec()));
        assert_eq!(piece.await, passed.as_bytes());
        upload.take(1);
    }
    upload.put_back(pieces("a b"));
    let mut all = Vec::new();
    while let Some(piece) =
        poll_fn(|cx| upload.poll_data(cx).map(|it| it.unwrap().map(<[u8]>::to_vec))).await
    {
        all.extend_from_slice(&piece);
        upload.take(piece.len());
    }
    assert_eq!(all, b"abc");
}
