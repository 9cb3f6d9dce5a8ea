//! Horizons: hills, mountains and the way there.
//!
//! The last hill has the colour of the ground, into which every picture fades.

use super::Canvas;

/// Rolling hills under a sun or a balloon.
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
    canvas.open_faint_group(0.5);
    canvas.path(
        format_args!(
            "M{x:.1} {y:.1}h44a8 8 0 0 0 -8 -9a12 12 0 0 0 -22 -5a9 9 0 0 0 -14 6a6 6 0 0 0 0 8z"
        ),
        "#fff",
    );
    canvas.close_group();
}

/// A sun over mountains that lead on.
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

/// A compass.
pub(super) fn compass(canvas: &mut Canvas<'_>) {
    let [mid, light, ground] = canvas.colours();
    let (x, y) = (
        canvas.dice.range(84.0, 116.0),
        canvas.floor * canvas.dice.range(0.42, 0.47),
    );
    let radius = canvas.dice.range(62.0, 82.0).min(canvas.floor * 0.4);
    let (turn, dim) = (canvas.dice.range(-40.0, 40.0), canvas.shade(0.6));
    canvas.ring((x, y), radius, 6.0, &mid);
    canvas.ring((x, y), radius * 0.78, 1.5, &dim);
    canvas.open_group(format_args!("rotate({turn:.0} {x:.1} {y:.1})"));
    for (long, wide, fill) in [(0.62, 0.14, &dim), (0.92, 0.16, &mid)] {
        let (long, wide) = (radius * long, radius * wide);
        let diagonal = fill == &dim;
        if diagonal {
            canvas.open_group(format_args!("rotate(45 {x:.1} {y:.1})"));
        }
        canvas.polygon(
            &[
                (x, y - long),
                (x + wide, y - wide),
                (x + long, y),
                (x + wide, y + wide),
                (x, y + long),
                (x - wide, y + wide),
                (x - long, y),
                (x - wide, y - wide),
            ],
            fill,
        );
        if diagonal {
            canvas.close_group();
        }
    }
    canvas.polygon(
        &[
            (x, y - radius * 0.92),
            (x + radius * 0.16, y),
            (x - radius * 0.16, y),
        ],
        &light,
    );
    canvas.close_group();
    canvas.circle((x, y), radius * 0.1, &ground);
}
