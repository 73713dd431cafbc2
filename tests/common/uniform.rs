//! Is it uniform, and is one draw independent of the other?
//!
//! Both tests give p: how often a sound generator would look as bad or worse. Neither depends on the
//! generator's own stream, so that a test of a fixed seed outlives a change of it.

use std::time::Duration;

/// The significance level where the seed is fixed: one sound generator in a million is refused.
pub const FIXED: f64 = 1e-6;

/// The significance level where nothing is fixed, and every run draws anew: for practical purposes
/// a sound generator is never refused.
pub const FRESH: f64 = 1e-9;

/// Where in a range a draw lies, as a number between 0 and 1. The range has both its ends and whole
/// nanoseconds; each of these is a cell, and the place is its middle.
#[expect(clippy::cast_precision_loss, reason = "a relative 1e-16 of the range")]
pub fn place(draw: Duration, low: Duration, high: Duration) -> f64 {
    assert!(draw >= low && draw <= high, "{draw:?} is not in {low:?}..={high:?}");
    let [draw, low, high] = [draw, low, high].map(|delay| delay.as_nanos());
    ((draw - low) as f64 + 0.5) / (high - low + 1) as f64
}

/// p of the Kolmogorov–Smirnov test of one sample against the uniform distribution from 0 to 1.
///
/// The limiting distribution of the largest distance between the two is Kolmogorov's ("Sulla
/// determinazione empirica di una legge di distribuzione", 1933); for finite samples the distance is
/// scaled as in Stephens, "Use of the Kolmogorov-Smirnov, Cramér-von Mises and Related Statistics
/// without Extensive Tables", Journal of the Royal Statistical Society B 32, 1970.
#[expect(clippy::cast_precision_loss, reason = "samples are far smaller than 2^53")]
pub fn kolmogorov_smirnov(places: &[f64]) -> f64 {
    let count = places.len() as f64;
    let mut sorted = places.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let distance = sorted.iter().enumerate().fold(0.0_f64, |distance, (below, place)| {
        let (below, with) = (below as f64 / count, (below + 1) as f64 / count);
        distance.max(with - place).max(place - below)
    });
    let scaled = distance * (count.sqrt() + 0.12 + 0.11 / count.sqrt());
    // Below this, p is 1 to twelve digits, and the series needs many terms.
    if scaled < 0.2 {
        return 1.0;
    }
    let term = |k: f64| 2.0 * (-2.0 * k * k * scaled * scaled).exp();
    (1..50).map(|k| term(f64::from(2 * k - 1)) - term(f64::from(2 * k))).sum::<f64>().min(1.0)
}

/// An upper bound for p of the chi-square test that all cells are equally likely: Laurent and Massart,
/// "Adaptive estimation of a quadratic functional by model selection", Annals of Statistics 28, 2000,
/// lemma 1, solved for the statistic. It wants no table, and some more than the exact p to refuse.
#[expect(clippy::cast_precision_loss, reason = "samples are far smaller than 2^53")]
pub fn chi_square(cells: &[u32]) -> f64 {
    let expected = f64::from(cells.iter().sum::<u32>()) / cells.len() as f64;
    assert!(expected >= 30.0, "too few draws for the limiting distribution: {expected} in a cell");
    let statistic: f64 =
        cells.iter().map(|&cell| (f64::from(cell) - expected).powi(2) / expected).sum();
    let freedom = (cells.len() - 1) as f64;
    let beyond = ((2.0 * statistic - freedom).max(freedom).sqrt() - freedom.sqrt()) / 2.0;
    (-beyond * beyond).exp()
}

/// A sample of places is uniform: in its mean, over its whole length, and up to both of its ends.
#[track_caller]
#[expect(clippy::cast_precision_loss, reason = "samples are far smaller than 2^53")]
pub fn assert_uniform(places: &[f64], level: f64, what: &str) {
    let count = places.len() as f64;
    let mean = places.iter().sum::<f64>() / count;
    // The standard deviation of a uniform place is 1/√12; beyond 6.2 of them lies less than 1e-9.
    assert!((mean - 0.5).abs() < 6.2 / (12.0 * count).sqrt(), "{what}: the mean is at {mean}");
    let p = kolmogorov_smirnov(places);
    assert!(p > level, "{what}: not uniform, p = {p:e}");
    // No place in a stretch of this length has the chance (1 - margin)ⁿ, which is below the level.
    let margin = -level.ln() / count;
    let (first, last) = places
        .iter()
        .fold((1.0_f64, 0.0_f64), |(first, last), &place| (first.min(place), last.max(place)));
    assert!(first < margin && last > 1.0 - margin, "{what}: only from {first} to {last}");
}

/// Two places say nothing of each other: the pairs fill the square evenly.
#[track_caller]
pub fn assert_independent(pairs: impl IntoIterator<Item = (f64, f64)>, level: f64, what: &str) {
    const SIDE: usize = 16;

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "a place is between 0 and 1, and `as` rounds down"
    )]
    let cell = |place: f64| ((place * SIDE as f64) as usize).min(SIDE - 1);
    let mut cells = [0_u32; SIDE * SIDE];
    for (one, other) in pairs {
        cells[cell(one) * SIDE + cell(other)] += 1;
    }
    let p = chi_square(&cells);
    assert!(p > level, "{what}: one draw tells of the other, p = {p:e}");
}
