//! Statistical tests of uniformity and of independence.
//!
//! Both tests return p: the probability that a sound generator looks as bad or worse. Neither
//! depends on the generator's own stream, so a test with a fixed seed outlives a change of the
//! generator.

use std::time::Duration;

/// The significance level for fixed seeds: one sound generator in a million is refused.
pub const FIXED: f64 = 1e-6;

/// The significance level for draws without a seed, which differ in every run. In practice, a sound
/// generator is never refused.
pub const FRESH: f64 = 1e-9;

/// Returns the place of a draw in a range, as a number between 0 and 1. The range includes both
/// ends. Each whole nanosecond is a cell, and the place is the middle of the cell.
#[expect(clippy::cast_precision_loss, reason = "a relative 1e-16 of the range")]
pub fn place(draw: Duration, low: Duration, high: Duration) -> f64 {
    assert!(draw >= low && draw <= high, "{draw:?} is not in {low:?}..={high:?}");
    let [draw, low, high] = [draw, low, high].map(|delay| delay.as_nanos());
    ((draw - low) as f64 + 0.5) / (high - low + 1) as f64
}

/// Returns p of the Kolmogorov–Smirnov test of one sample against the uniform distribution from 0
/// to 1.
///
/// The largest distance between the sample and the uniform distribution has Kolmogorov's limiting
/// distribution ("Sulla determinazione empirica di una legge di distribuzione", 1933). For finite
/// samples, the distance is scaled as in Stephens, "Use of the Kolmogorov-Smirnov, Cramér-von Mises
/// and Related Statistics without Extensive Tables", Journal of the Royal Statistical Society B
/// 32, 1970.
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
    // Below 0.2, p is 1 to twelve digits, and the series needs many terms.
    if scaled < 0.2 {
        return 1.0;
    }
    let term = |k: f64| 2.0 * (-2.0 * k * k * scaled * scaled).exp();
    (1..50).map(|k| term(f64::from(2 * k - 1)) - term(f64::from(2 * k))).sum::<f64>().min(1.0)
}

/// Returns an upper bound for p of the chi-square test that all cells are equally likely. The bound
/// is lemma 1 of Laurent and Massart, "Adaptive estimation of a quadratic functional by model
/// selection", Annals of Statistics 28, 2000, solved for the statistic. The bound needs no table,
/// but it refuses less often than the exact p.
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

/// Asserts that a sample of places is uniform: in its mean, over its whole length, and up to both
/// ends.
#[track_caller]
#[expect(clippy::cast_precision_loss, reason = "samples are far smaller than 2^53")]
pub fn assert_uniform(places: &[f64], level: f64, what: &str) {
    let count = places.len() as f64;
    let mean = places.iter().sum::<f64>() / count;
    // The standard deviation of a uniform place is 1/√12. Less than 1e-9 lies beyond 6.2
    // deviations.
    assert!((mean - 0.5).abs() < 6.2 / (12.0 * count).sqrt(), "{what}: the mean is at {mean}");
    let p = kolmogorov_smirnov(places);
    assert!(p > level, "{what}: not uniform, p = {p:e}");
    // The chance that a stretch of this length holds no place is (1 - margin)ⁿ, which is below the
    // level.
    let margin = -level.ln() / count;
    let (first, last) = places
        .iter()
        .fold((1.0_f64, 0.0_f64), |(first, last), &place| (first.min(place), last.max(place)));
    assert!(first < margin && last > 1.0 - margin, "{what}: only from {first} to {last}");
}

/// Asserts that the two places of a pair are independent: the pairs fill the square evenly.
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
    assert!(p > level, "{what}: the draws of a pair are related, p = {p:e}");
}
