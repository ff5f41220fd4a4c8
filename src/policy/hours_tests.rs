use std::time::Duration;

use proptest::prelude::*;

use super::{DueTime, LocalTime, Window, opens_in};

fn at(text: &str) -> LocalTime {
    let (day, time) = text.split_once(' ').unwrap();
    let weekday = super::NAMES.iter().position(|name| *name == day).unwrap();
    let (hours, rest) = time.split_once(':').unwrap();
    let (minutes, seconds) = rest.split_once(':').unwrap_or((rest, "0"));
    let number = |text: &str| text.parse::<u32>().unwrap();
    let second_of_day = number(hours) * 3600 + number(minutes) * 60 + number(seconds);
    LocalTime { weekday: u8::try_from(weekday).unwrap(), second_of_day }
}

fn window(text: &str) -> Window {
    text.parse().unwrap_or_else(|bad| panic!("{bad}"))
}

#[test]
fn a_window_is_open_on_its_days_and_in_its_hours() {
    for (text, open, closed) in [
        ("01:00-05:30", &["mon 01:00", "sun 05:29:59"][..], &["mon 00:59:59", "sun 05:30"][..]),
        ("22:00-06:00", &["mon 22:00", "tue 00:00", "tue 05:59"], &["mon 21:59", "mon 06:00"]),
        ("fri 22:00-06:00", &["fri 22:00", "sat 05:59"], &["fri 05:59", "sat 22:00"]),
        (
            "sun 22:00-06:00",
            &["sun 23:59", "mon 00:00", "mon 05:59"],
            &["mon 06:00", "mon 22:00", "sun 05:00"],
        ),
        ("mon-fri 01:00-05:30", &["mon 01:00", "fri 05:00"], &["sat 01:00", "sun 05:00"]),
        ("sat,sun", &["sat 00:00", "sun 23:59:59"], &["fri 23:59:59", "mon 00:00"]),
        ("sat-mon", &["sat 00:00", "sun 12:00", "mon 23:00"], &["tue 00:00", "fri 23:59"]),
        ("Mon,Wed-Thu 9:00-24:00", &["mon 09:00", "thu 23:59:59"], &["tue 09:00", "fri 00:00"]),
        ("20:00-00:00", &["mon 20:00", "mon 23:59:59"], &["mon 00:00", "mon 19:59"]),
        ("mon, tue 00:00-24:00", &["mon 00:00", "tue 23:59"], &["wed 00:00"]),
    ] {
        for time in open {
            assert!(window(text).is_open(at(time)), "{text} is open at {time}");
        }
        for time in closed {
            assert!(!window(text).is_open(at(time)), "{text} is closed at {time}");
        }
    }
}

#[test]
fn what_is_no_time_of_the_week_is_refused() {
    for text in [
        "",
        " ",
        "22:00",
        "22:00-",
        "-06:00",
        "25:00-26:00",
        "24:00-06:00",
        "6-7",
        "06:00-06:00",
        "06:60-07:00",
        "mo 06:00-07:00",
        "mon- 06:00-07:00",
        "mon06:00-07:00",
        "06:00-07:00 mon",
        "+1:00-02:00",
        "006:00-07:00",
        "mon fri",
        "06:0-07:00",
        "sat,,sun",
    ] {
        assert!(text.parse::<Window>().is_err(), "{text:?}");
    }
    for text in ["", "mon-fri", "06:00-07:00", "24:00", "6", "06:00 mon", "mon 06:00:00"] {
        assert!(text.parse::<DueTime>().is_err(), "{text:?}");
    }
}

#[test]
fn the_next_opening_of_several_windows_counts() {
    let opens = |windows: &[&str], time: &str| {
        let windows: Vec<Window> = windows.iter().map(|text| window(text)).collect();
        opens_in(&windows, at(time)).map(|time| time.as_secs())
    };
    assert_eq!(opens(&[], "mon 12:00"), Some(0));
    assert_eq!(opens(&["22:00-06:00"], "mon 23:00"), Some(0));
    assert_eq!(opens(&["22:00-06:00"], "mon 21:59:30"), Some(30));
    assert_eq!(opens(&["22:00-06:00", "mon 12:00-13:00"], "mon 11:00"), Some(3600));
    assert_eq!(opens(&["mon 12:00-13:00"], "mon 13:00"), Some(7 * 86_400 - 3600));
    assert_eq!(opens(&["sat,sun"], "fri 23:59:59"), Some(1));
}

#[test]
fn a_due_time_is_the_next_of_its_days() {
    let next = |text: &str, time: &str| {
        let due: DueTime = text.parse().unwrap();
        due.next_in(at(time)).as_secs()
    };
    assert_eq!(next("06:00", "mon 06:00"), 0);
    assert_eq!(next("06:00", "mon 06:00:01"), 86_399);
    assert_eq!(next("mon-fri 06:00", "fri 06:01"), 3 * 86_400 - 60);
    assert_eq!(next("sun 6:00", "mon 00:00"), 6 * 86_400 + 6 * 3600);
}

#[test]
fn hours_are_shown_as_they_are_written() {
    for text in ["22:00-06:00", "mon-fri 01:00-05:30", "sat,sun", "mon,wed-fri,sun 09:00-24:00"] {
        assert_eq!(window(text).to_string(), text);
    }
    for text in ["06:00", "mon-fri 06:05", "tue,thu 23:59"] {
        assert_eq!(text.parse::<DueTime>().unwrap().to_string(), text);
    }
}

proptest! {
    #[test]
    fn a_closed_window_is_open_once_its_wait_is_over(
        days in 1u8..128, from in 0u16..1440, length in 1u16..1440, weekday in 0u8..7, second_of_day in 0u32..86_400
    ) {
        let to = (from + length) % 1440;
        let window = Window { days: super::Days(days), from, to };
        let now = LocalTime { weekday, second_of_day };
        let wait = u32::try_from(opens_in(&[window], now).unwrap().as_secs()).unwrap();
        prop_assert_eq!(wait == 0, window.is_open(now));
        let second = (now.of_week() + wait) % super::WEEK;
        let then = LocalTime { weekday: (second / super::DAY) as u8, second_of_day: second % super::DAY };
        prop_assert!(window.is_open(then));
        prop_assert_eq!(window.to_string().parse::<Window>().unwrap(), window);
        let due = super::DueTime { days: window.days, minute: from };
        prop_assert_eq!(wait == 0 || due.next_in(now) == Duration::from_secs(wait.into()), true);
    }
}
