use super::*;

const HOUR: Duration = Duration::from_secs(3600);
const TEN: Duration = Duration::from_secs(10);
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn one_asks_and_the_others_wait() {
    let (mut refresh, now) = (Refresh::new(HOUR, TEN), Instant::now());
    assert!(refresh.begin(now, false));
    assert!(refresh.is_asking() && !refresh.begin(now, true) && !refresh.begin(now + HOUR, true));
    refresh.end(now + SECOND, true);
    assert!(!refresh.is_asking() && !refresh.begin(now + SECOND, false));
}

#[test]
fn good_keys_are_asked_for_again_when_they_have_aged() {
    let (mut refresh, now) = (Refresh::new(HOUR, TEN), Instant::now());
    assert!(refresh.begin(now, false));
    refresh.end(now + SECOND, true);
    assert!(!refresh.begin(now + HOUR, false));
    assert!(refresh.begin(now + SECOND + HOUR, false));
    // An answer that is no good makes the old keys no younger.
    refresh.end(now + SECOND + HOUR, false);
    assert!(!refresh.begin(now + HOUR + TEN, false));
    assert!(refresh.begin(now + HOUR + TEN + SECOND, false));
}

#[test]
fn a_missing_key_is_asked_for_once_an_interval() {
    let (mut refresh, now) = (Refresh::new(HOUR, TEN), Instant::now());
    assert!(refresh.begin(now, false));
    refresh.end(now, true);
    let asked = (0..60).filter(|second| {
        let now = now + Duration::from_secs(*second);
        let asks = refresh.begin(now, true);
        if asks {
            refresh.end(now, true);
        }
        asks
    });
    assert_eq!(asked.collect::<Vec<_>>(), [10, 20, 30, 40, 50]);
}
