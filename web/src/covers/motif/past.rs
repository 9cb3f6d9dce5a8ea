//! The past: antiquity, history and lives.
//!
//! Columns stand for antiquity only; a king or a president has other houses.

use super::Canvas;

/// Antiquity: columns in the light of a low sun.
pub(super) fn columns(canvas: &mut Canvas<'_>) {
    let [mid, light] = [canvas.mid.clone(), canvas.light.clone()];
    let sun = (
        canvas.dice.range(40.0, 160.0),
        canvas.floor * canvas.dice.range(0.34, 0.5),
    );
    let radius = canvas.dice.range(24.0, 38.0);
    canvas.circle(sun, radius, &light);
    let count = 4 + canvas.dice.below(3);
    let step = 200.0 / count as f32;
    let width = step * canvas.dice.range(0.44, 0.58);
    let top = canvas.dice.range(38.0, 60.0);
    let shadow = canvas.shade(0.55);
    canvas.rect((0.0, top - 22.0), (200.0, 11.0), &mid);
    canvas.rect((0.0, top - 8.0), (200.0, 3.5), &shadow);
    for number in 0..count {
        let x = (number as f32 + 0.5) * step - width / 2.0;
        canvas.rect((x - 4.0, top), (width + 8.0, 7.0), &mid);
        canvas.rect((x, top + 10.0), (width, canvas.floor - top), &mid);
        canvas.rect(
            (x + width * 0.58, top + 10.0),
            (width * 0.42, canvas.floor - top),
            &shadow,
        );
    }
}

/// Windows of a cathedral, one lit.
pub(super) fn lancets(canvas: &mut Canvas<'_>) {
    let [mid, light, ground] = canvas.colours();
    let count = 2 + canvas.dice.below(2);
    let gap = 14.0;
    let width = (168.0 - gap * (count - 1) as f32) / count as f32;
    let lit = canvas.dice.below(count);
    let (top, floor) = (canvas.dice.range(18.0, 30.0), canvas.floor);
    for number in 0..count {
        let left = 16.0 + number as f32 * (width + gap);
        let (middle, right) = (left + width / 2.0, left + width);
        let spring = top + width * 0.9;
        let fill = if number == lit { &light } else { &mid };
        canvas.path(
            format_args!("M{left:.1} {floor:.1}V{spring:.1}Q{left:.1} {:.1} {middle:.1} {top:.1}Q{right:.1} {:.1} {right:.1} {spring:.1}V{floor:.1}Z", top + width * 0.34, top + width * 0.34),
            fill,
        );
        canvas.line(
            format_args!(
                "M{middle:.1} {:.1}V{floor:.1}M{left:.1} {spring:.1}H{right:.1}M{left:.1} {:.1}H{right:.1}",
                top + width * 0.5,
                spring + 44.0
            ),
            3.0,
            &ground,
        );
        canvas.circle((middle, top + width * 0.55), width * 0.15, &ground);
    }
}

/// Banners that hang from the roof.
pub(super) fn banners(canvas: &mut Canvas<'_>) {
    let [mid, light, ground] = canvas.colours();
    let count = 3 + canvas.dice.below(2);
    let step = 200.0 / count as f32;
    let lit = canvas.dice.below(count);
    for number in 0..count {
        let (left, width) = (number as f32 * step + 6.0, step - 12.0);
        let length = canvas.floor * canvas.dice.range(0.5, 0.8);
        let (middle, right) = (left + width / 2.0, left + width);
        let fill = if number == lit {
            light.clone()
        } else {
            canvas.shade(0.55 + 0.45 * (number % 2) as f32)
        };
        canvas.polygon(
            &[
                (left, -2.0),
                (right, -2.0),
                (right, length),
                (middle, length - width * 0.42),
                (left, length),
            ],
            &fill,
        );
        let emblem = if number == lit { &mid } else { &ground };
        let y = length * 0.44;
        if canvas.dice.below(2) == 0 {
            canvas.circle((middle, y), width * 0.24, emblem);
        } else {
            let half = width * 0.27;
            canvas.polygon(
                &[
                    (middle, y - half),
                    (middle + half, y),
                    (middle, y + half),
                    (middle - half, y),
                ],
                emblem,
            );
        }
    }
}

/// A ship under sail, for adventures too.
pub(super) fn ship(canvas: &mut Canvas<'_>) {
    let [mid, light, ground] = canvas.colours();
    let sea = canvas.floor - canvas.dice.range(36.0, 46.0);
    let x = canvas.dice.range(84.0, 116.0);
    let size = canvas.dice.range(0.85, 1.1).min(sea / 126.0);
    let side = canvas.dice.pick(&[-1.0, 1.0]);
    let at = |dx: f32, dy: f32| (x + side * dx * size, sea - dy * size);
    let sun = canvas.shade(0.35);
    canvas.circle(at(-30.0, 66.0), 52.0 * size, &sun);
    for (from, top, width) in [(-34.0, 84.0, 30.0), (2.0, 112.0, 38.0), (38.0, 78.0, 24.0)] {
        let fill = if from == 2.0 { &light } else { &mid };
        let (low, high) = (at(from - width / 2.0, 26.0), at(from - width * 0.4, top));
        let (high_end, low_end) = (at(from + width * 0.4, top), at(from + width / 2.0, 26.0));
        let belly = side * width * 0.34 * size;
        canvas.path(
            format_args!(
                "M{:.1} {:.1}Q{:.1} {:.1} {:.1} {:.1}L{:.1} {:.1}Q{:.1} {:.1} {:.1} {:.1}Z",
                low.0,
                low.1,
                low.0 + belly,
                (low.1 + high.1) / 2.0,
                high.0,
                high.1,
                high_end.0,
                high_end.1,
                high_end.0 + belly,
                (low.1 + high.1) / 2.0,
                low_end.0,
                low_end.1
            ),
            fill,
        );
    }
    canvas.polygon(
        &[
            at(-62.0, 22.0),
            at(70.0, 22.0),
            at(52.0, -10.0),
            at(-46.0, -10.0),
        ],
        &mid,
    );
    for wave in 0..3_u8 {
        let y = sea + 2.0 + 13.0 * f32::from(wave);
        let shift = canvas.dice.range(-40.0, -4.0);
        let fill = if wave == 1 { &ground } else { &mid };
        canvas.path(
            format_args!(
                "M{shift:.1} {y:.1}q15 -9 30 0t30 0t30 0t30 0t30 0t30 0t30 0t30 0V300H{shift:.1}Z"
            ),
            fill,
        );
    }
}

/// A portrait in its frame.
pub(super) fn portrait(canvas: &mut Canvas<'_>) {
    let [mid, light, ground] = canvas.colours();
    let (x, y) = (
        canvas.dice.range(90.0, 110.0),
        canvas.floor * canvas.dice.range(0.44, 0.48),
    );
    let height = canvas.dice.range(74.0, 90.0).min(canvas.floor * 0.42);
    let width = height * canvas.dice.range(0.76, 0.86);
    let back = canvas.shade(0.4);
    canvas.ellipse((x, y), (width, height), &light);
    canvas.ellipse((x, y), (width - 5.0, height - 5.0), &ground);
    canvas.ellipse((x, y), (width - 9.0, height - 9.0), &back);
    let (head, at) = (height * 0.25, y - height * 0.16);
    let lean = canvas.dice.range(-3.0, 3.0);
    // The shoulders end where the frame does.
    let foot = y + height * 0.62;
    let half = (width - 9.0) * 0.76;
    canvas.path(
        format_args!(
            "M{:.1} {foot:.1}Q{:.1} {:.1} {:.1} {:.1}H{:.1}Q{:.1} {:.1} {:.1} {foot:.1}Q{x:.1} {:.1} {:.1} {foot:.1}Z",
            x - half, x - half * 0.9, y + height * 0.22, x - head * 0.5, y + height * 0.2,
            x + head * 0.5, x + half * 0.9, y + height * 0.22, x + half,
            y + height * 1.08, x - half
        ),
        &mid,
    );
    canvas.rect((x - head * 0.42, at), (head * 0.84, height * 0.42), &mid);
    canvas.ellipse((x + lean, at), (head * 0.82, head), &mid);
    match canvas.dice.below(4) {
        0 => canvas.circle((x + lean, at - head * 1.1), head * 0.42, &mid),
        1 => {
            canvas.rect(
                (x + lean - head * 1.25, at - head * 0.62),
                (head * 2.5, head * 0.2),
                &light,
            );
            canvas.rect(
                (x + lean - head * 0.78, at - head * 1.4),
                (head * 1.56, head * 0.8),
                &light,
            );
        }
        2 => canvas.ellipse(
            (x + lean, at - head * 0.34),
            (head * 1.02, head * 0.86),
            &mid,
        ),
        _ => {}
    }
}

/// The rings of a tree, one for each year, and the year that counts.
pub(super) fn year_rings(canvas: &mut Canvas<'_>) {
    let light = canvas.light.clone();
    let (x, y) = (
        canvas.dice.range(60.0, 140.0),
        canvas.floor * canvas.dice.range(0.4, 0.5),
    );
    let squash = canvas.dice.range(0.8, 0.95);
    let lit = 2 + canvas.dice.below(6);
    for ring in 1..=9_usize {
        let reach = 4.0 + 11.5 * ring as f32 + canvas.dice.range(-2.5, 2.5);
        let stroke = if ring == lit {
            light.clone()
        } else {
            canvas.shade(1.05 - 0.08 * ring as f32)
        };
        let (x, y) = (
            x + canvas.dice.range(-1.5, 1.5),
            y + canvas.dice.range(-1.5, 1.5),
        );
        let (rx, ry, width) = (reach, reach * squash, canvas.dice.range(2.5, 6.5));
        canvas.line(
            format_args!(
                "M{:.1} {y:.1}a{rx:.1} {ry:.1} 0 1 0 {:.1} 0a{rx:.1} {ry:.1} 0 1 0 {:.1} 0z",
                x - rx,
                rx * 2.0,
                -rx * 2.0
            ),
            width,
            &stroke,
        );
    }
}
