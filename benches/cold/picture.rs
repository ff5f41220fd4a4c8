//! The picture: a bar for each case, as long as its pipeline took, with what was waited for and what was worked.

use std::fmt::Write as _;

use crate::run::{Told, Went};

const WIDTH: f64 = 900.0;
/// Where the bars begin, and how much room they have.
const LEFT: f64 = 250.0;
const ROOM: f64 = 570.0;
const TOP: f64 = 76.0;
const ROW: f64 = 46.0;
const BAR: f64 = 24.0;

/// Colours that a dark page needs; the others stand at what they colour.
const STYLE: &str = "\
text { font-family: system-ui, sans-serif }\n\
@media (prefers-color-scheme: dark) {\n\
.title, .text { fill: #f0f6fc } .small { fill: #9198a1 } .line { stroke: #3d444d }\n\
}";

/// What a part of a bar says.
#[derive(Clone, Copy)]
enum Part {
    Wait,
    Work,
    Rest,
}

impl Part {
    const ALL: [Self; 3] = [Self::Wait, Self::Work, Self::Rest];

    fn colour(self) -> &'static str {
        match self {
            Self::Wait => "#d1602c",
            Self::Work => "#3f7cac",
            Self::Rest => "#9aa7b2",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Wait => "waits for images",
            Self::Work => "works",
            Self::Rest => "gets ready, cleans up",
        }
    }
}

/// A kind of text.
#[derive(Clone, Copy)]
enum Text {
    Title,
    Usual,
    Small,
}

impl Text {
    fn attributes(self) -> &'static str {
        match self {
            Self::Title => "class=\"title\" font-size=\"16\" font-weight=\"600\" fill=\"#1f2328\"",
            Self::Usual => "class=\"text\" font-size=\"13\" fill=\"#1f2328\"",
            Self::Small => "class=\"small\" font-size=\"11\" fill=\"#59636e\"",
        }
    }
}

/// Draws the picture.
pub(crate) fn draw(told: &[Told], under: &str) -> String {
    let height = TOP + ROW * told.len() as f64 + 34.0;
    let longest = told.iter().map(|told| told.took.as_secs_f64()).fold(1.0, f64::max);
    let mut picture = Picture { text: String::new(), scale: ROOM / longest };
    picture.begin(height, under);
    picture.seconds(longest, TOP, height - 34.0);
    for (number, case) in told.iter().enumerate() {
        picture.case(case, &told[0], TOP + ROW * number as f64);
    }
    picture.text.push_str("</svg>\n");
    picture.text
}

struct Picture {
    text: String,
    /// Points a second.
    scale: f64,
}

impl Picture {
    fn begin(&mut self, height: f64, under: &str) {
        self.add(format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
             aria-label=\"Seconds of a pipeline, cold and warm\">\n<style>\n{STYLE}\n</style>\n"
        ));
        self.words(12.0, 24.0, Text::Title, "A pipeline on a new host, and what its jobs wait for");
        self.words(12.0, 44.0, Text::Small, under);
        let mut x = 12.0;
        for part in Part::ALL {
            self.add(format_args!(
                "<rect fill=\"{}\" x=\"{x}\" y=\"54\" width=\"11\" height=\"11\"/>\n",
                part.colour()
            ));
            self.words(x + 16.0, 64.0, Text::Small, part.words());
            x += 40.0 + 6.2 * part.words().len() as f64;
        }
    }

    /// Draws a line every ten seconds, or fewer.
    fn seconds(&mut self, longest: f64, top: f64, bottom: f64) {
        let step = if longest > 300.0 {
            60.0
        } else if longest > 120.0 {
            20.0
        } else {
            10.0
        };
        let mut at = 0.0;
        while at <= longest {
            let x = LEFT + at * self.scale;
            self.add(format_args!(
                "<line class=\"line\" stroke=\"#d1d9e0\" x1=\"{x:.1}\" y1=\"{top}\" x2=\"{x:.1}\" y2=\"{bottom}\"/>\n"
            ));
            self.words(x - 6.0, bottom + 16.0, Text::Small, &format!("{at:.0} s"));
            at += step;
        }
    }

    fn case(&mut self, told: &Told, floor: &Told, top: f64) {
        let y = top + (ROW - BAR) / 2.0;
        self.words(12.0, y + 12.0, Text::Usual, told.case.title());
        self.words(12.0, y + 26.0, Text::Small, told.case.words());
        for (job, floor) in told.jobs.iter().zip(&floor.jobs) {
            self.job(job, floor, y);
        }
        let took = told.took.as_secs_f64();
        self.words(LEFT + took * self.scale + 6.0, y + 17.0, Text::Usual, &format!("{took:.1} s"));
    }

    /// Draws a job. What it takes longer to its first line than the floor's, it waits.
    fn job(&mut self, job: &Went, floor: &Went, y: f64) {
        let (began, took) = (job.began.as_secs_f64(), job.took.as_secs_f64());
        let first = job.first_line.as_secs_f64();
        self.part(Part::Rest, began, took, y);
        self.part(Part::Wait, began, first - floor.first_line.as_secs_f64(), y);
        self.part(Part::Work, began + first, job.script_ended.as_secs_f64() - first, y);
        for (from, to) in &job.fetched {
            self.part(Part::Wait, began + from.as_secs_f64(), to.saturating_sub(*from).as_secs_f64(), y);
        }
        let x = LEFT + began * self.scale;
        self.add(format_args!(
            "<line class=\"line\" stroke=\"#d1d9e0\" x1=\"{x:.1}\" y1=\"{:.1}\" x2=\"{x:.1}\" y2=\"{:.1}\"/>\n",
            y - 4.0,
            y + BAR
        ));
        let room = (took * self.scale / 6.5).max(0.0);
        if room > job.name.len() as f64 {
            self.words(x + 4.0, y - 3.0, Text::Small, job.name);
        }
    }

    fn part(&mut self, part: Part, from: f64, seconds: f64, y: f64) {
        let (x, width) = (LEFT + from * self.scale, (seconds * self.scale).max(0.0));
        self.add(format_args!(
            "<rect fill=\"{}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{BAR}\"/>\n",
            part.colour()
        ));
    }

    fn words(&mut self, x: f64, y: f64, kind: Text, words: &str) {
        let words = words.replace('&', "&amp;").replace('<', "&lt;");
        self.add(format_args!("<text {} x=\"{x:.1}\" y=\"{y:.1}\">{words}</text>\n", kind.attributes()));
    }

    fn add(&mut self, what: std::fmt::Arguments<'_>) {
        // Infallible: it writes into a text.
        let _ = self.text.write_fmt(what);
    }
}
