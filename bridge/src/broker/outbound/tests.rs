//! The queue of a client that reads slowly, or not at all.

use super::*;

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off() {
    let outbound = Outbound::new(1, 10);
    assert!(outbound.send(b"12345"));
    assert!(outbound.send(b"678901"));
    assert!(!outbound.send(b"more"));
    outbound.closed().await;
    assert!(outbound.next().await.is_none());
}

#[tokio::test]
async fn what_is_being_written_counts_until_it_is() {
    let outbound = Outbound::new(1, 10);
    outbound.send(b"12345678");
    assert_eq!(outbound.next().await.unwrap(), [b"12345678"]);
    outbound.send(b"1234");
    assert!(!outbound.send(b"more"), "12 bytes wait");

    let outbound = Outbound::new(1, 10);
    outbound.send(b"12345678");
    outbound.next().await.unwrap();
    outbound.written(8);
    outbound.send(b"1234");
    assert_eq!(outbound.next().await.unwrap(), [b"1234"]);
}

#[tokio::test]
async fn the_client_with_the_most_is_cut_off_when_all_have_too_much() {
    let budget = Arc::new(OutputBudget::new(100, Arc::default()));
    let [small, big, mid] = [1, 2, 3].map(|id| budget.open(id, 1000));
    assert!(small.send(&[b'x'; 20]) && big.send(&[b'x'; 50]));
    big.next().await.unwrap();
    assert!(mid.send(&[b'x'; 40]), "110 bytes are too many");
    big.is_cut_off().await;
    assert!(!big.send(b"more") && small.send(b"more") && mid.send(b"more"));
    assert!(big.next().await.is_none());
    big.written(50);
    drop((small, big, mid));
    assert_eq!(budget.queued.load(Ordering::Relaxed), 0);
    assert!(budget.clients().is_empty());
}

#[tokio::test]
async fn who_sends_to_a_client_that_is_behind_learns_of_it_and_can_wait() {
    let outbound = Outbound::new(1, 100);
    let delivery = |payload| Delivery {
        subject: "a",
        reply: None,
        headers: &[],
        payload,
    };
    let mut filled = Filled::default();
    let mut deliver = |payload| outbound.deliver(&delivery(payload), "1", &mut filled);
    assert_eq!(deliver(&[b'x'; 10]), Queued::Yes);
    assert_eq!(deliver(&[b'x'; 50]), Queued::Behind);
    let taken = outbound.next().await.unwrap().iter().map(Vec::len).sum();
    let waiting = tokio::spawn({
        let outbound = Arc::clone(&outbound);
        async move { outbound.caught_up().await }
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    outbound.written(taken / 2);
    waiting.await.unwrap();
    outbound.written(taken);
    assert_eq!(deliver(b"x"), Queued::Yes);
    outbound.close();
    assert_eq!(deliver(b"x"), Queued::Gone);
    outbound.caught_up().await;
}

#[tokio::test]
async fn what_a_closed_client_does_not_take_is_dropped_like_that_of_any_other() {
    let budget = Arc::new(OutputBudget::new(100, Arc::default()));
    let closed = budget.open(1, 1000);
    closed.send(&[b'x'; 60]);
    let taken = closed.next().await;
    closed.send(&[b'x'; 30]);
    closed.close();
    assert_eq!(
        (taken.map(|taken| taken.len()), closed.queued()),
        (Some(1), 90)
    );
    let other = budget.open(2, 1000);
    other.send(&[b'x'; 50]);
    assert_eq!((closed.queued(), other.queued()), (0, 50));
    closed.is_cut_off().await;
}
