//! The little of roff that the manual needs, with the macros man(7).

/// Text as it is: nothing in it is a request or an escape.
pub fn escape(text: &str) -> String {
    let mut out = String::new();
    for line in text.split_inclusive('\n') {
        if line.starts_with(['.', '\'']) {
            out.push_str("\\&");
        }
        for character in line.chars() {
            match character {
                '\\' => out.push_str("\\e"),
                '-' => out.push_str("\\-"),
                '^' => out.push_str("\\(ha"),
                '~' => out.push_str("\\(ti"),
                '`' => out.push_str("\\(ga"),
                '\'' => out.push_str("\\(aq"),
                other => out.push(other),
            }
        }
    }
    out
}

/// Text in which what stands between backticks is bold, as everything is that a user types as it stands there.
pub fn inline(text: &str) -> String {
    let mut out = String::new();
    for (number, part) in text.split('`').enumerate() {
        match number % 2 {
            // A hyphen between words stays one.
            0 => out.push_str(&escape(part).replace("\\-", "-")),
            _ => out.push_str(&format!("\\fB{}\\fR", escape(part))),
        }
    }
    wrap(&out)
}

/// Lines of a length that people can read, too, and a new one for each sentence: roff sets the space after it.
fn wrap(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut is_over = true;
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if !is_over && line.len() + word.len() < LINE => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) | None if word.starts_with(['.', '\'']) => lines.push(format!("\\&{word}")),
            Some(_) | None => lines.push(word.to_owned()),
        }
        is_over = word.ends_with(['.', '?']);
    }
    lines.join("\n")
}

/// How long a line of running text may be.
const LINE: usize = 79;

/// A section of second order, and its first paragraph.
pub fn subsection(title: &str, text: &str) -> String {
    format!(".SS {}\n{}\n", argument(title), inline(text))
}

/// A paragraph.
pub fn paragraph(text: &str) -> String {
    format!(".PP\n{}\n", inline(text))
}

/// A further paragraph of an entry.
pub fn continued(text: &str) -> String {
    format!(".IP\n{}\n", inline(text))
}

/// An entry of a list: its head, and the first paragraph about it.
pub fn entry(head: &str, text: &str) -> String {
    format!(".TP\n{head}\n{}\n", inline(text))
}

/// Lines that stand as they are, indented.
pub fn example(lines: &str) -> String {
    format!(".IP\n.EX\n{}\n.EE\n", escape(lines.trim_end()))
}

/// An argument of a macro.
pub fn argument(text: &str) -> String {
    format!("\"{}\"", escape(text).replace('"', "\\(dq"))
}
