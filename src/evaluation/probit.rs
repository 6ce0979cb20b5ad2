//! The inverse of the normal distribution function, whose values are the axes of a DET curve.

/// The normal deviate below which the share `p` lies, to about seven digits, by algorithm AS 241
/// (PPND7) of Wichura 1988, "The percentage points of the normal distribution". Not finite at 0
/// and 1.
pub fn probit(p: f64) -> f64 {
    let q = p - 0.5;
    if q.abs() <= 0.425 {
        let r = 0.180_625 - q * q;
        let above = [3.387_132_717_9, 50.434_271_938, 159.291_132_02, 59.109_374_720];
        let below = [1.0, 17.895_169_469, 78.757_757_664, 67.187_563_600];
        return q * polynomial(&above, r) / polynomial(&below, r);
    }
    let r = (-p.min(1.0 - p).ln()).sqrt();
    let tail = if r <= 5.0 {
        let above = [1.423_437_277_7, 2.756_815_390_0, 1.306_728_481_6, 0.170_238_211_03];
        let below = [1.0, 0.737_001_642_50, 0.120_211_329_75];
        polynomial(&above, r - 1.6) / polynomial(&below, r - 1.6)
    } else {
        let above = [6.657_905_115_0, 3.081_226_386_0, 0.428_682_943_37, 0.017_337_203_997];
        let below = [1.0, 0.241_978_942_25, 0.012_258_202_635];
        polynomial(&above, r - 5.0) / polynomial(&below, r - 5.0)
    };
    if q < 0.0 { -tail } else { tail }
}

/// The polynomial with these coefficients, the constant one first.
fn polynomial(coefficients: &[f64], x: f64) -> f64 {
    coefficients.iter().rev().fold(0.0, |sum, c| sum * x + c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probit_matches_published_quantiles() {
        for (p, quantile) in [
            (0.5, 0.0),
            (0.6, 0.253_347_103_1),
            (0.975, 1.959_963_984_5),
            (0.999, 3.090_232_306_2),
            (1e-5, -4.264_890_793_9),
            (1e-9, -5.997_807_015_0),
            (1e-14, -7.650_628_0),
        ] {
            assert!((probit(p) - quantile).abs() < 1e-5, "{p}: {}", probit(p));
        }
        assert!(!probit(0.0).is_finite() && !probit(1.0).is_finite());
    }
}
