use super::*;

const START: Instant = Instant::from_secs(1000);

/// When the messages of an exchange are sent that nobody answers: seconds after the first.
fn sent(kind: ClientMessage, timing: Timing, seed: u8, most: usize) -> (f64, Vec<f64>) {
    let mut random = Random::new([seed; 32]);
    let mut exchange = Exchange::new(kind, timing, Duration::ZERO, START, &mut random);
    let mut sent: Vec<Instant> = Vec::new();
    loop {
        let now = exchange.wake();
        match exchange.due(now) {
            Some(Due::Transmit) if sent.len() < most => {
                sent.push(now);
                exchange.transmitted(now, &mut random);
            }
            Some(Due::Transmit | Due::Failed) => break,
            None => panic!("it woke for nothing"),
        }
    }
    let first = sent[0];
    let seconds = sent.iter().map(|at| at.saturating_since(first).as_secs_f64()).collect();
    (first.saturating_since(START).as_secs_f64(), seconds)
}

fn within(actual: &[f64], windows: &[(f64, f64)]) {
    for (second, (least, most)) in actual.iter().zip(windows) {
        assert!((least..=most).contains(&second), "{second} is not in {least}..={most}: {actual:?}");
    }
}

/// T-002, T-003, T-004, DC-020
#[test]
fn solicits_keep_to_the_table() {
    let windows = [(0.0, 0.0), (1.0, 1.1), (2.9, 3.41), (6.51, 8.26), (13.38, 18.45), (26.40, 39.82), (51.16, 84.77)];
    let mut delays = Vec::new();
    for seed in 0..=255 {
        let (delay, seconds) = sent(ClientMessage::Solicit, Timing::SOLICIT.capped(3600), seed, 20);
        within(&seconds, &windows);
        assert!(seconds[1] > 1.0, "the first RT is longer than IRT");
        assert!((98.2..=179.1).contains(&seconds[7]));
        let steady: Vec<_> = seconds[16..].windows(2).map(|pair| pair[1] - pair[0]).collect();
        within(&steady, &[(3240.0, 3960.0); 3]);
        delays.push(delay);
    }
    assert!(delays.iter().all(|delay| (0.0..=1.0).contains(delay)));
    assert!(delays.iter().any(|delay| *delay < 0.1) && delays.iter().any(|delay| *delay > 0.9), "they spread");
}

/// T-032, DC-021
#[test]
fn requests_are_ten() {
    let (delay, seconds) = sent(ClientMessage::Request, Timing::REQUEST, 1, 100);
    assert!(delay.abs() < f64::EPSILON);
    assert_eq!(seconds.len(), 10);
    let gaps: Vec<_> = seconds.windows(2).map(|pair| pair[1] - pair[0]).collect();
    within(&gaps, &[(0.9, 1.1), (1.71, 2.31), (3.2, 4.9), (6.1, 10.2), (11.7, 21.4)]);
    within(&gaps[6..], &[(27.0, 33.0); 3]);
}

/// T-059, DC-023, DC-024
#[test]
fn renews_end_at_six_hundred_seconds_apart() {
    let (_, seconds) = sent(ClientMessage::Renew, Timing::RENEW, 2, 12);
    within(&seconds, &[(0.0, 0.0), (9.0, 11.0), (26.1, 34.1)]);
    let gaps: Vec<_> = seconds[8..].windows(2).map(|pair| pair[1] - pair[0]).collect();
    within(&gaps, &[(540.0, 660.0); 3]);
}

/// T-087, T-088, DC-025
#[test]
fn a_link_check_takes_ten_seconds() {
    let mut random = Random::new([3; 32]);
    let mut exchange = Exchange::new(ClientMessage::Rebind, Timing::LINK_CHECK, Duration::ZERO, START, &mut random);
    let first = exchange.wake();
    assert!(first <= START + ONE_SECOND);
    let mut now = first;
    while exchange.due(now) == Some(Due::Transmit) {
        exchange.transmitted(now, &mut random);
        now = exchange.wake();
    }
    assert_eq!(exchange.due(now), Some(Due::Failed));
    assert_eq!(now, first + Duration::from_secs(10));
    assert!((4..=5).contains(&exchange.transmissions()), "{}", exchange.transmissions());
}

/// DC-027
#[test]
fn a_release_is_sent_four_times() {
    let (_, seconds) = sent(ClientMessage::Release, Timing::RELEASE, 4, 100);
    assert_eq!(seconds.len(), 4);
}

/// T-010, DC-029
#[test]
fn elapsed_counts_from_the_first_transmission() {
    let mut random = Random::new([5; 32]);
    let mut exchange = Exchange::new(ClientMessage::Solicit, Timing::SOLICIT, Duration::ZERO, START, &mut random);
    assert_eq!(exchange.elapsed(START + ONE_SECOND), 0, "the first message");
    let first = START + ONE_SECOND;
    exchange.transmitted(first, &mut random);
    assert_eq!(exchange.elapsed(first + Duration::from_millis(2345)), 234);
    assert_eq!(exchange.elapsed(first + Duration::from_millis(655_350)), 0xffff);
    assert_eq!(exchange.elapsed(first + Duration::from_secs(100_000)), 0xffff);
}
