//! `#[derive(IsTransient)]`: every option, on every shape of type. The crate's lints apply to the
//! generated code.
#![deny(warnings)]
#![allow(clippy::items_after_statements, reason = "each error stands beside its checks")]
#![allow(dead_code, reason = "errors have fields that no expression uses")]

mod common;

use std::convert::Infallible;
use std::fmt;
use std::io::{self, ErrorKind};
use std::num::ParseIntError;
use std::rc::Rc;
use std::time::Duration;

use common::{ms, secs};
use retry_ext::{IsTransient, RetryExt, RetryPolicy, StopReason};

/// Asserts the classification and the hint of an error.
#[track_caller]
fn says(error: &impl IsTransient, transient: bool, hint: Option<Duration>) {
    assert_eq!((error.is_transient(), error.retry_after()), (transient, hint));
}

fn reset() -> io::Error {
    ErrorKind::ConnectionReset.into()
}

fn missing() -> io::Error {
    ErrorKind::NotFound.into()
}

#[test]
fn a_variant_without_an_attribute_is_permanent() {
    #[derive(IsTransient)]
    enum Error {
        Wrong,
        #[permanent]
        Worse(u8),
        #[transient]
        Busy {
            _queue: u8,
        },
        #[transient]
        Full(u8, u8),
        #[transient]
        Late,
    }
    says(&Error::Wrong, false, None);
    says(&Error::Worse(1), false, None);
    says(&Error::Busy { _queue: 1 }, true, None);
    says(&Error::Full(1, 2), true, None);
    says(&Error::Late, true, None);
}

#[test]
fn an_attribute_on_the_enum_sets_the_default() {
    #[derive(IsTransient)]
    #[transient]
    enum Flaky {
        Busy,
        #[permanent]
        Wrong,
        #[transient(after = secs(2))]
        Full,
        #[transient(forward)]
        Io(io::Error),
    }
    says(&Flaky::Busy, true, None);
    says(&Flaky::Wrong, false, None);
    says(&Flaky::Full, true, Some(secs(2)));
    says(&Flaky::Io(reset()), true, None);
    says(&Flaky::Io(missing()), false, None);

    #[derive(IsTransient)]
    #[permanent]
    enum Firm {
        Wrong,
        #[transient]
        Busy,
    }
    says(&Firm::Wrong, false, None);
    says(&Firm::Busy, true, None);
}

#[test]
fn a_struct_declares_it_by_an_attribute() {
    #[derive(IsTransient)]
    #[transient]
    struct Unit;
    says(&Unit, true, None);

    #[derive(IsTransient)]
    #[permanent]
    struct Tuple(u8);
    says(&Tuple(1), false, None);

    #[derive(IsTransient)]
    #[transient(if = *code == 503, after = hint)]
    struct Named {
        code: u16,
        hint: Option<Duration>,
    }
    says(&Named { code: 503, hint: Some(secs(9)) }, true, Some(secs(9)));
    says(&Named { code: 404, hint: None }, false, None);
}

#[test]
fn forward_passes_verdict_and_hint_on() {
    #[derive(IsTransient)]
    #[transient(after)]
    struct Busy(Duration);

    #[derive(IsTransient)]
    enum Error {
        #[transient(forward)]
        Only(Busy),
        #[transient(forward = source)]
        Named { source: io::Error, file: String },
        #[transient(forward = 1)]
        Number(u8, Busy),
        #[transient(forward = _0)]
        Underscore(Busy, u8),
        #[transient(forward)]
        Boxed(Box<Busy>),
        #[transient(forward)]
        Shared(Rc<dyn IsTransient>),
        #[transient(forward)]
        Never(Infallible),
    }
    says(&Error::Only(Busy(secs(1))), true, Some(secs(1)));
    says(&Error::Named { source: reset(), file: String::new() }, true, None);
    says(&Error::Named { source: missing(), file: String::new() }, false, None);
    says(&Error::Number(0, Busy(secs(2))), true, Some(secs(2)));
    says(&Error::Underscore(Busy(secs(3)), 0), true, Some(secs(3)));
    says(&Error::Boxed(Box::new(Busy(secs(4)))), true, Some(secs(4)));
    says(&Error::Shared(Rc::new(missing())), false, None);
    let never: fn(Infallible) -> Error = Error::Never;
    let _: fn(Infallible) -> Error = never;
}

#[test]
fn after_takes_durations_and_options_by_value_and_by_reference() {
    const PAUSE: Duration = Duration::from_secs(5);

    #[derive(IsTransient)]
    enum Error {
        #[transient(after = PAUSE)]
        Constant,
        #[transient(after = Duration::from_millis(*ms))]
        Computed { ms: u64 },
        #[transient(after)]
        Field { delay: Duration },
        #[transient(after)]
        Optional(Option<Duration>),
        #[transient(after = _1)]
        Second(u8, Option<Duration>),
        #[transient(after = _0.as_ref())]
        Lent(Option<Duration>),
        #[transient(after = (*code > 500).then_some(PAUSE),)]
        Sometimes { code: u16 },
        #[transient(after = self.pause())]
        Itself(u64),
        #[transient(after = of::<u8, Vec<u8>>(*_0))]
        Turbofish(u8),
    }

    impl Error {
        fn pause(&self) -> Duration {
            let Self::Itself(seconds) = self else { unreachable!("asked for another variant") };
            secs(*seconds)
        }
    }

    fn of<A: Into<u64>, B: Default>(number: A) -> Duration {
        drop(B::default());
        ms(number.into())
    }

    says(&Error::Constant, true, Some(PAUSE));
    says(&Error::Computed { ms: 7 }, true, Some(ms(7)));
    says(&Error::Field { delay: secs(8) }, true, Some(secs(8)));
    says(&Error::Optional(Some(secs(9))), true, Some(secs(9)));
    says(&Error::Optional(None), true, None);
    says(&Error::Second(0, Some(secs(10))), true, Some(secs(10)));
    says(&Error::Lent(Some(secs(11))), true, Some(secs(11)));
    says(&Error::Sometimes { code: 503 }, true, Some(PAUSE));
    says(&Error::Sometimes { code: 429 }, true, None);
    says(&Error::Itself(12), true, Some(secs(12)));
    says(&Error::Turbofish(13), true, Some(ms(13)));
}

#[test]
fn a_condition_decides_and_takes_any_expression() {
    #[derive(IsTransient)]
    enum Error {
        #[transient(if = matches!(code, 429 | 502..=504), after = hint)]
        Status { code: u16, hint: Option<Duration> },
        #[transient(if = *_0 < *_1)]
        Pair(u8, u8),
        #[transient(if = match _0 { 0 => false, 1 => true, n => n % 2 == 0 })]
        Match(u8),
        #[transient(if = _0.iter().any(|code| code % 2 == 0))]
        Closure(Vec<u8>),
        #[transient(if = self.is_third())]
        Itself(u8),
        #[transient(after = secs(1), if = { let limit = 3; *_0 < limit })]
        Block(u8),
        #[transient(if = can_retry)]
        Field { can_retry: bool },
        #[transient(if = _0.is_transient(), after = _1)]
        OwnHint(io::Error, Duration),
    }

    impl Error {
        fn is_third(&self) -> bool {
            matches!(self, Self::Itself(3))
        }
    }

    says(&Error::Status { code: 503, hint: None }, true, None);
    says(&Error::Status { code: 429, hint: Some(secs(3)) }, true, Some(secs(3)));
    assert!(!Error::Status { code: 404, hint: None }.is_transient());
    says(&Error::Pair(1, 2), true, None);
    says(&Error::Pair(2, 1), false, None);
    says(&Error::Match(0), false, None);
    says(&Error::Match(1), true, None);
    says(&Error::Closure(vec![1, 2]), true, None);
    says(&Error::Closure(vec![1, 3]), false, None);
    says(&Error::Itself(3), true, None);
    says(&Error::Itself(4), false, None);
    says(&Error::Block(2), true, Some(secs(1)));
    assert!(!Error::Block(3).is_transient());
    says(&Error::Field { can_retry: true }, true, None);
    says(&Error::Field { can_retry: false }, false, None);
    says(&Error::OwnHint(reset(), secs(4)), true, Some(secs(4)));
    assert!(!Error::OwnHint(missing(), secs(4)).is_transient());
}

#[test]
fn an_option_needs_no_space_behind_its_equals_sign() {
    #[derive(IsTransient)]
    #[rustfmt::skip]
    enum Spaced {
        #[transient(if=*code==503,after=Duration::from_secs(1))]
        Status { code: u16 },
        #[transient(if=!*done)]
        Job { done: bool },
        #[transient(if=[1].iter().any(|_it| true))]
        Always,
    }
    says(&Spaced::Status { code: 503 }, true, Some(Duration::from_secs(1)));
    says(&Spaced::Job { done: true }, false, None);
    says(&Spaced::Always, true, None);
}

#[test]
fn the_type_of_a_forwarded_field_is_bound() {
    #[derive(IsTransient)]
    enum Request<'a, E, F: fmt::Debug, const N: usize>
    where
        F: Clone,
    {
        #[transient(forward)]
        Inner(E),
        #[transient(forward)]
        Boxed(Box<E>),
        #[transient(if = bytes.len() > N)]
        Short {
            bytes: &'a [u8],
        },
        Other(F),
    }
    type Io<'a> = Request<'a, io::Error, String, 2>;
    says(&Io::Inner(reset()), true, None);
    says(&Io::Boxed(Box::new(missing())), false, None);
    says(&Io::Short { bytes: &[1, 2, 3] }, true, None);
    says(&Io::Short { bytes: &[1, 2] }, false, None);
    says(&Io::Other(String::new()), false, None);

    // Another type, behind a path, may have the name of this type.
    trait Service {
        type Error;
    }
    struct Files;
    impl Service for Files {
        type Error = io::Error;
    }
    mod client {
        pub(super) type Error<E> = Box<E>;
    }
    #[derive(IsTransient)]
    enum Error<S: Service, E> {
        #[transient(forward)]
        Inner(S::Error),
        #[transient(forward)]
        Client(client::Error<E>),
    }
    says(&Error::<Files, io::Error>::Inner(reset()), true, None);
    says(&Error::<Files, io::Error>::Client(Box::new(missing())), false, None);

    // No implementation is needed if nothing is forwarded.
    #[derive(IsTransient)]
    #[transient]
    struct Wrapped<T>(T);
    says(&Wrapped(fmt::Error), true, None);
}

#[test]
fn a_bound_may_be_on_a_projection_or_a_default() {
    trait Service {
        type Error;
    }
    struct Disk;
    impl Service for Disk {
        type Error = io::Error;
    }

    #[derive(IsTransient)]
    #[transient(forward = error)]
    struct Failed<S: Service = Disk> {
        error: S::Error,
    }
    says(&Failed::<Disk> { error: reset() }, true, None);
    says(&Failed::<Disk> { error: missing() }, false, None);
}

#[test]
fn a_type_may_forward_to_itself() {
    #[derive(IsTransient)]
    enum Chain<E> {
        #[transient(forward)]
        Next(Box<Chain<E>>),
        #[transient(forward)]
        Again(Box<Self>),
        #[transient(forward)]
        Last(E),
    }
    says(&Chain::Next(Box::new(Chain::Again(Box::new(Chain::Last(reset()))))), true, None);
    says(&Chain::Next(Box::new(Chain::Last(missing()))), false, None);
}

#[test]
fn raw_and_misleading_names_work() {
    #[expect(non_upper_case_globals, reason = "a constant that a pattern could be taken for")]
    const code: u16 = 1;

    #[derive(IsTransient)]
    #[expect(non_camel_case_types, reason = "raw names are in lower case")]
    enum r#match {
        #[transient(if = *r#type == 1)]
        r#if { r#type: u8 },
        #[transient(after = self::pause(*count))]
        Count { count: u64, code: u16 },
        #[transient]
        inner { inner: u8, root: u8 },
        #[transient(forward = r#fn)]
        Forward { r#fn: io::Error },
    }
    says(&r#match::r#if { r#type: 1 }, true, None);
    says(&r#match::r#if { r#type: 2 }, false, None);
    let count = r#match::Count { count: 3, code: 3 };
    says(&count, true, Some(secs(3)));
    assert!(matches!(count, r#match::Count { code: 3, .. }));
    assert_eq!(code, 1);
    says(&r#match::inner { inner: 1, root: 1 }, true, None);
    says(&r#match::Forward { r#fn: reset() }, true, None);
}

fn pause(seconds: u64) -> Duration {
    secs(seconds)
}

#[test]
fn an_empty_enum_has_no_error() {
    #[derive(IsTransient)]
    enum Never {}
    fn is_error<E: IsTransient>(_: Option<E>) {}
    is_error(None::<Never>);
}

macro_rules! error_of {
    ($name:ident, $field:ident: $type:ty, $when:expr, $after:expr) => {
        #[derive(IsTransient)]
        enum $name {
            #[transient(if = $when, after = $after)]
            Given { $field: $type },
            #[transient(if = *code > 5 && self.is_given(), after = $crate::common::secs(1))]
            Own { code: u8 },
            #[transient(if = *other > 5, after = delay)]
            Mixed { $field: $type, other: u8, delay: Duration },
        }

        impl $name {
            fn is_given(&self) -> bool {
                !matches!(self, Self::Given { .. } | Self::Mixed { $field: _, .. })
            }
        }
    };
}

#[test]
fn types_from_macro_rules_work() {
    error_of!(Made, status: u16, matches!(status, 500..) && !self.is_given(), secs(u64::from(*status)));
    says(&Made::Given { status: 503 }, true, Some(secs(503)));
    assert!(!Made::Given { status: 404 }.is_transient());
    says(&Made::Own { code: 6 }, true, Some(secs(1)));
    assert!(!Made::Own { code: 5 }.is_transient());
    says(&Made::Mixed { status: 1, other: 6, delay: secs(6) }, true, Some(secs(6)));
}

#[test]
fn attributes_of_other_derives_stay_untouched() {
    #[derive(Debug, thiserror::Error, IsTransient)]
    enum FetchError {
        #[error("the server answered {code}")]
        #[transient(if = matches!(code, 502..=504), after = *retry_after)]
        Status { code: u16, retry_after: Option<Duration> },
        #[error("the connection failed")]
        #[transient(forward)]
        Io(#[from] io::Error),
        #[error("{0} is no number")]
        Number(String, #[source] ParseIntError),
    }
    says(&FetchError::Status { code: 503, retry_after: Some(secs(7)) }, true, Some(secs(7)));
    says(&FetchError::from(reset()), true, None);
    let number = "x".parse::<u8>().map_err(|error| FetchError::Number("x".into(), error));
    let number = number.expect_err("no number");
    says(&number, false, None);
    assert_eq!(number.to_string(), "x is no number");
}

#[test]
fn another_path_to_the_crate_is_taken() {
    mod library {
        pub(crate) use retry_ext as retries;
    }
    // Only the path in the attribute leads to the crate.
    #[derive(IsTransient)]
    #[transient(crate = library::retries)]
    enum Error {
        Wrong,
        #[transient(after = secs(1))]
        Busy,
    }
    says(&Error::Wrong, false, None);
    says(&Error::Busy, true, Some(secs(1)));

    #[derive(IsTransient)]
    #[transient(forward, crate = library::retries)]
    struct Wrapped<E>(E);
    says(&Wrapped(reset()), true, None);

    #[derive(IsTransient)]
    #[transient]
    #[transient(crate = library::retries)]
    enum Flaky {
        Busy,
    }
    says(&Flaky::Busy, true, None);
}

#[test]
fn deprecated_variants_do_not_warn() {
    mod old {
        #![allow(deprecated, reason = "it uses the old variant on purpose")]

        #[derive(super::IsTransient)]
        pub(crate) enum Error {
            #[deprecated]
            #[transient]
            Old,
        }
        pub(crate) const OLD: Error = Error::Old;
    }
    says(&old::OLD, true, None);
}

#[test]
fn a_retry_obeys_what_was_derived() {
    #[derive(Debug, IsTransient)]
    enum Error {
        #[transient(after = secs(30))]
        Busy,
        Wrong,
    }
    let mut waits = Vec::new();
    let mut script = [Error::Busy, Error::Wrong].into_iter();
    let result = (|| script.next().map_or(Ok(()), Err))
        .sleep_with(|delay| waits.push(delay))
        .retry_with(RetryPolicy::new());
    let stopped = result.expect_err("the second error is permanent");
    assert!(matches!(stopped.error(), Error::Wrong));
    assert_eq!((stopped.attempts(), stopped.reason()), (2, StopReason::Permanent));
    assert_eq!(waits, [secs(30)]);
}
