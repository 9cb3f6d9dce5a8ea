//! Pictures that are a rhythm or a thing rather than a place.
//!
//! Music, war, speed and cameras.

use std::fmt::Write;

use super::Canvas;

/// A record.
pub(super) fn record(canvas: &mut Canvas<'_>) {
    let [mid, light, ground] = canvas.colours();
    let centre = (canvas.dice.range(70.0, 130.0), canvas.floor * 0.45);
    let radius = canvas.dice.range(74.0, 92.0).min(canvas.floor * 0.45);
    canvas.circle(centre, radius, &mid);
    for groove in 1..6_u8 {
        canvas.ring(
            centre,
            radius * (1.0 - 0.11 * f32::from(groove)),
            1.2,
            &ground,
        );
    }
    canvas.circle(centre, radius * 0.32, &light);
    canvas.circle(centre, radius * 0.06, &ground);
}

/// The keys of a piano, one of them down.
pub(super) fn keys(canvas: &mut Canvas<'_>) {
    let [mid, light, ground] = canvas.colours();
    let count = 6 + canvas.dice.below(3);
    let width = 200.0 / count as f32;
    let lit = canvas.dice.below(count);
    let floor = canvas.floor;
    for key in 0..count {
        let fill = if key == lit { &light } else { &mid };
        canvas.rect((key as f32 * width + 1.5, -4.0), (width - 3.0, floor), fill);
    }
    // Two and three black keys in turn, as on every piano.
    let first = canvas.dice.below(7);
    for key in 1..count {
        if matches!((key + first) % 7, 0 | 3) {
            continue;
        }
        let (x, half) = (key as f32 * width, width * 0.3);
        canvas.rect((x - half, -4.0), (half * 2.0, floor * 0.58), &ground);
    }
}

/// Waves of sound.
pub(super) fn waves(canvas: &mut Canvas<'_>) {
    let [mid, light, _] = canvas.colours();
    let count = 9_u8;
    let gap = (canvas.floor - 10.0) / f32::from(count);
    let bright = canvas.dice.below(3);
    let length = canvas.dice.range(26.0, 40.0);
    for number in 0..count {
        let y = 18.0 + f32::from(number) * gap;
        let height = canvas.dice.range(5.0, 15.0);
        let mut wave = format!(
            "M-12 {y:.1}q{:.1} {:.1} {length:.1} 0",
            length / 2.0,
            -height
        );
        for _ in 0..8 {
            let _ = write!(wave, "t{length:.1} 0");
        }
        let is_bright = usize::from(number) % 3 == bright;
        canvas.line(
            wave,
            2.0 + f32::from(number % 3) * 2.0,
            if is_bright { &light } else { &mid },
        );
    }
}

/// Searchlights that cross.
pub(super) fn searchlights(canvas: &mut Canvas<'_>) {
    let lit = canvas.dice.below(4);
    let base = canvas.floor + 10.0;
    canvas.open_faint_group(0.85);
    for number in 0..4_u8 {
        let from = 20.0 + f32::from(number) * 54.0 + canvas.dice.range(-12.0, 12.0);
        let to = canvas.dice.range(-10.0, 210.0);
        let spread = canvas.dice.range(11.0, 22.0);
        let fill = if usize::from(number) == lit {
            canvas.light.clone()
        } else {
            canvas.some_shade()
        };
        canvas.polygon(
            &[
                (from - 2.0, base),
                (from + 2.0, base),
                (to + spread, -6.0),
                (to - spread, -6.0),
            ],
            &fill,
        );
    }
    canvas.close_group();
    let (at, light) = (
        (
            canvas.dice.range(50.0, 150.0),
            canvas.dice.range(30.0, 70.0),
        ),
        canvas.light.clone(),
    );
    canvas.circle(at, 6.0, &light);
}

/// Chevrons, one of them lit.
pub(super) fn chevrons(canvas: &mut Canvas<'_>) {
    let (tip, width) = (
        canvas.dice.range(84.0, 116.0),
        canvas.dice.range(14.0, 20.0),
    );
    let (rise, lit) = (canvas.dice.range(52.0, 78.0), canvas.dice.below(5));
    for number in 0..5_u8 {
        let y = 14.0 + f32::from(number) * 36.0;
        let fill = if usize::from(number) == lit {
            canvas.light.clone()
        } else {
            canvas.shade(1.0 - 0.12 * f32::from(number))
        };
        let sides = y + rise;
        canvas.line(
            format_args!("M-10 {sides:.1}L{tip:.1} {y:.1}L210 {sides:.1}"),
            width * (1.0 - 0.12 * f32::from(number)),
            &fill,
        );
    }
}

/// A burst.
pub(super) fn burst(canvas: &mut Canvas<'_>) {
    let [mid, light, _] = canvas.colours();
    let (x, y) = (
        canvas.dice.range(60.0, 140.0),
        canvas.floor * canvas.dice.range(0.4, 0.52),
    );
    let count = 12 + canvas.dice.below(3) * 2;
    let turn = canvas.dice.range(0.0, 0.5);
    for number in 0..count {
        let from = (number as f32 + turn) / count as f32 * std::f32::consts::TAU;
        let to = from + std::f32::consts::PI / count as f32;
        let edge = |angle: f32| (x + 300.0 * angle.cos(), y + 300.0 * angle.sin());
        canvas.polygon(&[(x, y), edge(from), edge(to)], &mid);
    }
    let points = 11;
    let size = canvas.dice.range(36.0, 48.0);
    let blast: Vec<(f32, f32)> = (0..points * 2)
        .map(|corner| {
            let reach = if corner % 2 == 0 { size } else { size * 0.6 };
            let angle = corner as f32 / points as f32 * std::f32::consts::PI;
            (x + reach * angle.cos(), y + reach * angle.sin())
        })
        .collect();
    canvas.polygon(&blast, &light);
}

/// Stripes at full speed.
pub(super) fn speed(canvas: &mut Canvas<'_>) {
    let light = canvas.light.clone();
    let angle = canvas.dice.range(-32.0, -18.0);
    canvas.open_group(format_args!("rotate({angle:.0} 100 100)"));
    for number in 0..11_u8 {
        let (from, length) = (
            canvas.dice.range(-60.0, 110.0),
            canvas.dice.range(60.0, 190.0),
        );
        let height = canvas.dice.range(5.0, 14.0);
        let fill = if number % 4 == 1 {
            light.clone()
        } else {
            canvas.some_shade()
        };
        canvas.rect(
            (from, -30.0 + f32::from(number) * 24.0),
            (length, height),
            &fill,
        );
    }
    canvas.close_group();
}

/// A contact sheet, one frame marked.
pub(super) fn frames(canvas: &mut Canvas<'_>) {
    let columns = 3 + canvas.dice.below(2);
    let width = (168.0 - 6.0 * (columns - 1) as f32) / columns as f32;
    let height = width * canvas.dice.range(0.8, 1.3);
    let rows = (((canvas.floor - 34.0) / (height + 6.0)) as usize).max(1);
    let lit = canvas.dice.below(columns * rows);
    let top = (canvas.floor - 18.0 - rows as f32 * (height + 6.0)) / 2.0 + 4.0;
    for number in 0..columns * rows {
        let (column, row) = ((number % columns) as f32, (number / columns) as f32);
        let fill = if number == lit {
            canvas.light.clone()
        } else {
            canvas.some_shade()
        };
        canvas.rect(
            (16.0 + column * (width + 6.0), top + row * (height + 6.0)),
            (width, height),
            &fill,
        );
    }
}

/// The lens of a camera: blades around a small opening.
pub(super) fn lens(canvas: &mut Canvas<'_>) {
    let [mid, light, ground] = canvas.colours();
    let (x, y) = (
        canvas.dice.range(90.0, 110.0),
        canvas.floor * canvas.dice.range(0.42, 0.47),
    );
    let radius = canvas.dice.range(64.0, 80.0).min(canvas.floor * 0.41);
    let blades = 6 + canvas.dice.below(3);
    let turn = canvas.dice.range(0.0, 1.0);
    let inner = radius * canvas.dice.range(0.28, 0.44);
    let at = |reach: f32, step: f32| {
        let angle = (step + turn) / blades as f32 * std::f32::consts::TAU;
        (x + reach * angle.cos(), y + reach * angle.sin())
    };
    canvas.circle((x, y), radius, &mid);
    let opening: Vec<(f32, f32)> = (0..blades).map(|blade| at(inner, blade as f32)).collect();
    canvas.polygon(&opening, &light);
    for blade in 0..blades {
        let (from, to) = (
            at(inner, blade as f32),
            at(radius, blade as f32 + blades as f32 * 0.2),
        );
        canvas.line(
            format_args!("M{:.1} {:.1}L{:.1} {:.1}", from.0, from.1, to.0, to.1),
            2.5,
            &ground,
        );
    }
    canvas.ring((x, y), radius + 5.0, 3.0, &mid);
}
