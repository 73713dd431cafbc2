//! Options of attributes: `name`, `name = expression` and `name(list)`, separated by commas.
//!
//! Without its feature `full`, syn parses no closures, blocks or `match`. Expressions therefore stay tokens; the
//! compiler parses them where they are used.

use proc_macro2::{Delimiter, Group, Ident, Punct, Spacing, Span, TokenStream, TokenTree};
use syn::{Error, Result};

/// One option.
pub(crate) struct Opt {
    pub(crate) name: Ident,
    pub(crate) value: Value,
}

pub(crate) enum Value {
    /// `name`
    None,
    /// `name = expression`; the expression has at least one token.
    Expression(TokenStream),
    /// `name(list)`
    List(Group),
}

/// Returns whether a `=` is the first half of `==` or `=>`.
fn continues(equals: &Punct, next: Option<&TokenTree>) -> bool {
    let half = |next: &TokenTree| matches!(next, TokenTree::Punct(next) if matches!(next.as_char(), '=' | '>'));
    equals.spacing() == Spacing::Joint && next.is_some_and(half)
}

impl Opt {
    /// Parses one option, as [`split`] returns it.
    pub(crate) fn parse(tokens: TokenStream) -> Result<Self> {
        let mut tokens = tokens.into_iter().peekable();
        let name = match tokens.next() {
            Some(TokenTree::Ident(name)) => name,
            Some(other) => return Err(Error::new(other.span(), "expected the name of an option")),
            None => return Err(Error::new(Span::call_site(), "expected the name of an option")),
        };
        let value = match tokens.next() {
            None => Value::None,
            Some(TokenTree::Punct(equals))
                if equals.as_char() == '=' && !continues(&equals, tokens.peek()) =>
            {
                let expression: TokenStream = tokens.by_ref().collect();
                if expression.is_empty() {
                    return Err(Error::new(
                        equals.span(),
                        format!("`{name} =` has no value: write an expression behind it"),
                    ));
                }
                Value::Expression(expression)
            }
            Some(TokenTree::Group(list)) if list.delimiter() == Delimiter::Parenthesis => {
                Value::List(list)
            }
            Some(other) => return Err(missing_comma(&name, &other)),
        };
        match tokens.next() {
            Some(other) => Err(missing_comma(&name, &other)),
            None => Ok(Self { name, value }),
        }
    }

    /// Refuses a value.
    pub(crate) fn no_value(&self) -> Result<()> {
        let Self { name, value } = self;
        match value {
            Value::None => Ok(()),
            Value::Expression(_) | Value::List(_) => {
                Err(Error::new(name.span(), format!("`{name}` takes no value: write `{name}`")))
            }
        }
    }

    /// Returns the expression after `name =`; messages show `example`. String literals are refused: they are common
    /// in attributes that cannot take expressions.
    pub(crate) fn expression(self, example: &str) -> Result<TokenStream> {
        let Self { name, value } = self;
        let Value::Expression(expression) = value else {
            return Err(Error::new(
                name.span(),
                format!("`{name}` needs a value: write `{name} = {example}`"),
            ));
        };
        match sole(&expression) {
            Some(TokenTree::Literal(literal)) if literal.to_string().contains('"') => {
                Err(Error::new(
                    literal.span(),
                    format!("`{name}` takes no text: write `{name} = {example}`, without quotes"),
                ))
            }
            _ => Ok(expression),
        }
    }
}

fn missing_comma(name: &Ident, found: &TokenTree) -> Error {
    Error::new(
        found.span(),
        format!(
            "expected `=` or a comma behind `{name}`: write `{name} = ..`, or separate the options"
        ),
    )
}

/// Stores an option that may be given once.
pub(crate) fn once<T>(slot: &mut Option<T>, name: &Ident, value: T) -> Result<()> {
    if slot.is_some() {
        return Err(Error::new(name.span(), format!("`{name}` is given twice: keep one of them")));
    }
    *slot = Some(value);
    Ok(())
}

/// Returns the only token, which may be in invisible groups of `macro_rules!`.
pub(crate) fn sole(tokens: &TokenStream) -> Option<TokenTree> {
    let mut tokens = tokens.clone().into_iter();
    match (tokens.next()?, tokens.next()) {
        (TokenTree::Group(group), None) if group.delimiter() == Delimiter::None => {
            sole(&group.stream())
        }
        (token, None) => Some(token),
        _ => None,
    }
}

/// Splits at the commas between options. Commas of `::<A, B>`, of `<A as Trait<B, C>>::f` and of closure parameters
/// belong to their expression. A trailing comma is allowed.
pub(crate) fn split(tokens: TokenStream) -> Result<Vec<TokenStream>> {
    let mut parts = Vec::new();
    let mut part = TokenStream::new();
    let mut state = Scan::default();
    for token in tokens {
        if state.is_between(&token) {
            if part.is_empty() {
                return Err(Error::new(token.span(), "expected an option before this comma"));
            }
            parts.push(std::mem::take(&mut part));
            state = Scan::default();
        } else {
            state.step(&token);
            part.extend([token]);
        }
    }
    if !part.is_empty() {
        parts.push(part);
    }
    Ok(parts)
}

/// The position of a scan within one option.
#[derive(Default)]
struct Scan {
    angles: u32,
    in_parameters: bool,
    last: Last,
}

/// The kind of the last token.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Last {
    /// The next token starts an operand.
    #[default]
    Operator,
    /// `:` of `::`
    Colon,
    /// `-` or `=`, directly before another punctuation: `->` and `=>` close no bracket.
    Arrow,
    /// The first half of `||` or `<<`
    Half,
    /// The next token is an operator.
    Operand,
}

impl Last {
    /// Returns whether an operand may follow. A `=` directly before the operand looks like the start of an arrow.
    fn precedes_operand(self) -> bool {
        matches!(self, Self::Operator | Self::Arrow)
    }
}

impl Scan {
    fn is_between(&self, token: &TokenTree) -> bool {
        let comma = matches!(token, TokenTree::Punct(punct) if punct.as_char() == ',');
        comma && self.angles == 0 && !self.in_parameters
    }

    fn step(&mut self, token: &TokenTree) {
        let last = self.last;
        self.last = match token {
            TokenTree::Punct(punct) => {
                let joint = punct.spacing() == Spacing::Joint;
                match punct.as_char() {
                    '<' if self.angles > 0 || last == Last::Colon || last.precedes_operand() => {
                        self.angles += 1;
                        Last::Operator
                    }
                    '>' if self.angles > 0 && last != Last::Arrow => {
                        self.angles -= 1;
                        Last::Operand
                    }
                    '|' if self.in_parameters && self.angles == 0 => {
                        self.in_parameters = false;
                        Last::Operator
                    }
                    // A closure starts where an operand may start; elsewhere `|` is an operator.
                    '|' if last.precedes_operand() && self.angles == 0 => {
                        self.in_parameters = true;
                        Last::Operator
                    }
                    '|' | '<' if joint && last == Last::Operand => Last::Half,
                    ':' => Last::Colon,
                    '-' | '=' if joint => Last::Arrow,
                    '?' => Last::Operand,
                    // The name of a lifetime follows.
                    '\'' => last,
                    _ => Last::Operator,
                }
            }
            TokenTree::Ident(word) => match word.to_string().as_str() {
                "as" | "async" | "else" | "if" | "in" | "match" | "move" | "return" => {
                    Last::Operator
                }
                _ => Last::Operand,
            },
            TokenTree::Group(_) | TokenTree::Literal(_) => Last::Operand,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::split;

    #[track_caller]
    fn check(text: &str, parts: &[&str]) {
        let tokens = text.parse().expect("tokens");
        let seen: Vec<String> =
            split(tokens).expect("parts").iter().map(ToString::to_string).collect();
        let parse = |part: &&str| part.parse::<proc_macro2::TokenStream>().expect("tokens");
        let expected: Vec<String> = parts.iter().map(|part| parse(part).to_string()).collect();
        assert_eq!(seen, expected, "{text}");
    }

    #[test]
    fn options_are_split_at_their_commas() {
        check("", &[]);
        check("forward", &["forward"]);
        check("after = a, if = b,", &["after = a", "if = b"]);
        check("a = f(1, 2), b = [1, 2]", &["a = f(1, 2)", "b = [1, 2]"]);
        assert!(split("a,, b".parse().expect("tokens")).is_err());
    }

    #[test]
    fn commas_of_an_expression_stay_in_it() {
        check("a = f::<A, B>(x), b", &["a = f::<A, B>(x)", "b"]);
        check("a = f::<Vec<A>, [B; 2]>(x), b", &["a = f::<Vec<A>, [B; 2]>(x)", "b"]);
        check("a = f::<fn(A) -> B, C>(x), b", &["a = f::<fn(A) -> B, C>(x)", "b"]);
        check("a = <A as B<C, D>>::f(x), b", &["a = <A as B<C, D>>::f(x)", "b"]);
        check("a = !<A as B<C, D>>::f(x), b", &["a = !<A as B<C, D>>::f(x)", "b"]);
        check("a = x.f::<A, B>() > 1, b", &["a = x.f::<A, B>() > 1", "b"]);
        check("a = |x, y| x + y, b", &["a = |x, y| x + y", "b"]);
        check("a = move |x: &E<'_, A>, y| x, b", &["a = move |x: &E<'_, A>, y| x", "b"]);
        check("a = |x| x | y, b", &["a = |x| x | y", "b"]);
        check("a = || x, b", &["a = || x", "b"]);
    }

    #[test]
    fn operators_open_nothing() {
        check("a = x < y, b = x > y", &["a = x < y", "b = x > y"]);
        check("a = x | y, b = x || y, c", &["a = x | y", "b = x || y", "c"]);
        check("a = x? < y, b", &["a = x? < y", "b"]);
        check("a = f(x) < 5, b = 5 < 6", &["a = f(x) < 5", "b = 5 < 6"]);
        check("a = x << 3, b = x >> 3", &["a = x << 3", "b = x >> 3"]);
        check("a = x <= y, b = x >= y", &["a = x <= y", "b = x >= y"]);
        check("a = x == y, b = x != y", &["a = x == y", "b = x != y"]);
        check("a = *x as u8 == b'x', b", &["a = *x as u8 == b'x'", "b"]);
    }
}
