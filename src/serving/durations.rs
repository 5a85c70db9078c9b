//! Durations in files of options: numbers in the unit that ends the option's name.

use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serializer};

/// Whole milliseconds, for options that end in `_ms`.
pub(super) mod millis {
    use super::*;

    pub(in crate::serving) fn serialize<S: Serializer>(
        time: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(whole(time.as_millis(), time))
    }

    pub(in crate::serving) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

/// Whole milliseconds or null, for options that end in `_ms`.
pub(super) mod optional_millis {
    use super::*;

    pub(in crate::serving) fn serialize<S: Serializer>(
        time: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => millis::serialize(time, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(in crate::serving) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        let millis = Option::<u64>::deserialize(deserializer)?;
        Ok(millis.map(Duration::from_millis))
    }
}

/// Whole microseconds, for options that end in `_us`.
pub(super) mod micros {
    use super::*;

    pub(in crate::serving) fn serialize<S: Serializer>(
        time: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(whole(time.as_micros(), time))
    }

    pub(in crate::serving) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_micros)
    }
}

/// Seconds with a fraction, for options that end in `_seconds`.
pub(super) mod seconds {
    use super::*;

    pub(in crate::serving) fn serialize<S: Serializer>(
        time: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(time.as_secs_f64())
    }

    pub(in crate::serving) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        Duration::try_from_secs_f64(seconds)
            .map_err(|_| D::Error::custom(format!("{seconds} is not a number of seconds")))
    }
}

/// The number of units of a duration; at least one if it is longer than zero, so that a short time does not become none.
fn whole(units: u128, time: &Duration) -> u64 {
    let units = u64::try_from(units).unwrap_or(u64::MAX);
    units.max(u64::from(!time.is_zero()))
}

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Times {
        #[serde(with = "millis")]
        ms: Duration,
        #[serde(with = "optional_millis")]
        most_ms: Option<Duration>,
        #[serde(with = "micros")]
        us: Duration,
        #[serde(with = "seconds")]
        seconds: Duration,
    }

    #[test]
    fn durations_are_numbers_in_files() {
        let times = Times {
            ms: Duration::from_micros(300),
            most_ms: Some(Duration::MAX),
            us: Duration::from_millis(2),
            seconds: Duration::from_millis(1500),
        };
        let json = serde_json::to_string(&times).unwrap();
        let most = u64::MAX;
        assert_eq!(
            json,
            format!(r#"{{"ms":1,"most_ms":{most},"us":2000,"seconds":1.5}}"#)
        );
        let back: Times = serde_json::from_str(&json).unwrap();
        assert_eq!(back.most_ms, Some(Duration::from_millis(most)));
        assert_eq!(back.seconds, times.seconds);
        let negative = json.replace("1.5", "-1");
        let error = serde_json::from_str::<Times>(&negative).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("-1 is not a number of seconds"),
            "{error}"
        );
    }
}
