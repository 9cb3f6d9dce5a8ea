//! Horizons: deserts, hills and mountains.

use super::Canvas;

/// Westerns: the sun going down behind table mountains.
pub(super) fn mesa(canvas: &mut Canvas<'_>) {
    let horizon = canvas.floor - canvas.dice.range(34.0, 52.0);
    let sun = (
        canvas.dice.range(58.0, 142.0),
        horizon - canvas.dice.range(4.0, 34.0),
    );
    let radius = canvas.dice.range(40.0, 54.0);
    let [mid, light, ground] = [
        canvas.mid.clone(),
        canvas.light.clone(),
        canvas.ground.clone(),
    ];
    canvas.circle(sun, radius, &light);
    // Bands of haze cut the sun.
    for band in 0..3_u8 {
        let y = horizon - 6.0 - f32::from(band) * 11.0;
        canvas.rect((0.0, y), (200.0, 3.2 - f32::from(band)), &ground);
    }
    let far = canvas.shade(0.7);
    let left = canvas.dice.range(-30.0, 20.0);
    let right = canvas.dice.range(120.0, 150.0);
    for (x, width, height) in [
        (left, 66.0, canvas.dice.range(18.0, 40.0)),
        (right, 80.0, canvas.dice.range(14.0, 30.0)),
    ] {
        let top = horizon - height;
        canvas.polygon(
            &[
                (x, horizon),
                (x + 8.0, top),
                (x + width - 10.0, top),
                (x + width, horizon),
            ],
            &far,
        );
    }
    canvas.rect((0.0, horizon), (200.0, 60.0), &mid);
    for stripe in 0..4_u8 {
        let y = horizon + 7.0 + f32::from(stripe) * 11.0;
        canvas.rect((0.0, y), (200.0, 2.5 + 2.2 * f32::from(stripe)), &ground);
    }
}

/// Animated and family films: rolling hills under a sun, a balloon or clouds.
pub(super) fn hills(canvas: &mut Canvas<'_>) {
    let [mid, light, ground] = [
        canvas.mid.clone(),
        canvas.light.clone(),
        canvas.ground.clone(),
    ];
    let at = (
        canvas.dice.range(46.0, 156.0),
        canvas.dice.range(38.0, 58.0),
    );
    if canvas.dice.below(2) == 0 {
        let radius = canvas.dice.range(20.0, 32.0);
        canvas.circle(at, radius, &light);
    } else {
        balloon(canvas, at, &light);
    }
    for _ in 0..2 {
        let (x, y) = (
            canvas.dice.range(0.0, 160.0),
            canvas.dice.range(24.0, canvas.floor * 0.5),
        );
        cloud(canvas, (x, y));
    }
    let tones = [canvas.shade(0.55), mid, canvas.shade(0.75), ground];
    for (number, fill) in tones.iter().enumerate() {
        let y = canvas.floor - 92.0 + number as f32 * 30.0;
        let (a, b) = (
            canvas.dice.range(-34.0, 34.0),
            canvas.dice.range(-34.0, 34.0),
        );
        let (from, to) = (canvas.dice.range(-8.0, 12.0), canvas.dice.range(-8.0, 12.0));
        canvas.path(
            format_args!(
                "M0 {:.1}C60 {:.1} 130 {:.1} 200 {:.1}V300H0Z",
                y + from,
                y + a,
                y + b,
                y + to
            ),
            fill,
        );
    }
}

fn balloon(canvas: &mut Canvas<'_>, (x, y): (f32, f32), fill: &str) {
    let basket = canvas.shade(0.9);
    canvas.circle((x, y), 22.0, fill);
    canvas.polygon(
        &[
            (x - 18.0, y + 12.0),
            (x + 18.0, y + 12.0),
            (x + 4.0, y + 34.0),
            (x - 4.0, y + 34.0),
        ],
        fill,
    );
    canvas.rect((x - 4.0, y + 37.0), (8.0, 7.0), &basket);
}

fn cloud(canvas: &mut Canvas<'_>, (x, y): (f32, f32)) {
    canvas.svg.push_str(r#"<g opacity=".5">"#);
    canvas.path(
        format_args!(
            "M{x:.1} {y:.1}h44a8 8 0 0 0 -8 -9a12 12 0 0 0 -22 -5a9 9 0 0 0 -14 6a6 6 0 0 0 0 8z"
        ),
        "#fff",
    );
    canvas.svg.push_str("</g>");
}

/// Adventure: a sun over mountains that lead on.
pub(super) fn peaks(canvas: &mut Canvas<'_>) {
    let [mid, light, ground] = [
        canvas.mid.clone(),
        canvas.light.clone(),
        canvas.ground.clone(),
    ];
    let sun = (
        canvas.dice.range(40.0, 160.0),
        canvas.dice.range(44.0, 66.0),
    );
    let radius = canvas.dice.range(16.0, 28.0);
    canvas.circle(sun, radius, &light);
    let highest = canvas.floor * 0.36;
    for (row, fill) in [canvas.shade(0.45), canvas.shade(0.75), mid]
        .iter()
        .enumerate()
    {
        let base = canvas.floor - 50.0 + row as f32 * 26.0;
        let mut x = canvas.dice.range(-50.0, -10.0);
        while x < 200.0 {
            let width = canvas.dice.range(76.0, 120.0);
            let peak = (base - width * canvas.dice.range(0.5, 0.8)).max(highest);
            let summit = x + width * canvas.dice.range(0.4, 0.6);
            canvas.polygon(
                &[
                    (x, base),
                    (summit, peak),
                    (x + width, base),
                    (x + width, 300.0),
                    (x, 300.0),
                ],
                fill,
            );
            if row == 1 {
                let slope = (base - peak) / (summit - x);
                canvas.polygon(
                    &[
                        (summit, peak),
                        (summit + 9.0, peak + 12.0),
                        (summit + 1.0, peak + 9.0),
                        (summit - 12.0 / slope, peak + 12.0),
                    ],
                    &light,
                );
            }
            x += width * 0.72;
        }
    }
    let floor = canvas.floor;
    canvas.path(
        format_args!(
            "M0 {floor:.1}Q100 {:.1} 200 {floor:.1}V300H0Z",
            floor - 34.0
        ),
        &ground,
    );
}
