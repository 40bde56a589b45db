//! The clock, as records keep it.

/// Now, in nanoseconds since 1970 UTC.
pub(crate) fn now() -> i64 {
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).expect("the year is below 2262")
}

/// A stored time as the API shows it; never is Go's zero time.
pub(crate) fn to_api(time: Option<i64>) -> api::Time {
    time.map_or_else(api::Time::zero, api::Time::from_nanoseconds)
}
