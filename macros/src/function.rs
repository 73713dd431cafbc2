//! `#[retry_with(POLICY)]`.
//!
//! Without its feature `full`, syn parses no functions. The macro therefore reads the outline of a function from its
//! tokens, and passes arguments, return type and body on as they are.

use proc_macro2::{Delimiter, Group, Ident, Spacing, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Error, LitStr, Result, Token, Visibility};

use crate::options::{Opt, Value, once, sole, split};

const OPTIONS: &str = "`retry_if`, `on_retry`, `clone(..)`, `plain` and `crate`";

pub(crate) fn expand(arguments: TokenStream, item: &TokenStream) -> TokenStream {
    let function = syn::parse2::<Function>(item.clone());
    let expanded = function.as_ref().map_err(Clone::clone).and_then(|function| {
        let settings = Settings::parse(arguments)?;
        function.check(&settings)?;
        function.retried(&settings)
    });
    expanded.unwrap_or_else(|error| {
        // The item is kept: otherwise each use of the function would be a further error.
        let item = function.ok().and_then(|function| function.stub()).unwrap_or(item.clone());
        let error = error.into_compile_error();
        quote!(#error #item)
    })
}

/// Returns the statements of a retried function, which end with an expression. `before` is inserted before the
/// expression `attempt`, `hooks` are method calls on the context, and `outcome` is a name at the return type.
fn retry_loop(
    settings: &Settings,
    hooks: &TokenStream,
    before: &TokenStream,
    attempt: &TokenStream,
    outcome: &Ident,
    asynchronous: bool,
) -> TokenStream {
    let Settings { root, policy, .. } = settings;
    let policy = quote_spanned!(hidden_at(policy)=> &(#policy));
    // Messages about the error type point to the return type.
    let step = if asynchronous {
        quote_spanned!(Span::mixed_site()=> retry.step_async(#outcome).await)
    } else {
        quote_spanned!(Span::mixed_site()=> retry.step(#outcome))
    };
    let stopped = if settings.plain {
        quote_spanned!(Span::mixed_site()=> #root::RetryError::into_error(stopped))
    } else {
        quote_spanned!(Span::mixed_site()=> stopped)
    };
    // The body sees none of these names, and log records name the line of the attribute.
    quote_spanned! {Span::mixed_site()=>
        let mut retry = #root::RetryPolicy::start(#root::__private::policy(#policy)) #hooks;
        loop {
            #before
            let #outcome = #attempt;
            match #step {
                ::core::result::Result::Ok(::core::option::Option::None) => {}
                ::core::result::Result::Ok(::core::option::Option::Some(value)) => {
                    break ::core::result::Result::Ok(value);
                }
                ::core::result::Result::Err(stopped) => {
                    break ::core::result::Result::Err(#stopped);
                }
            }
        }
    }
}

/// Returns a span for generated code at the first token. Messages point there, and the body does not see its names.
fn hidden_at(tokens: &TokenStream) -> Span {
    let first = tokens.clone().into_iter().next();
    first.map_or_else(Span::mixed_site, |token| Span::mixed_site().located_at(token.span()))
}

/// The attribute's arguments.
struct Settings {
    policy: TokenStream,
    root: TokenStream,
    plain: bool,
    cloned: Vec<Ident>,
    retry_if: Option<(Ident, TokenStream)>,
    on_retry: Option<(Ident, TokenStream)>,
}

impl Settings {
    fn parse(arguments: TokenStream) -> Result<Self> {
        let mut parts = split(arguments)?.into_iter();
        let Some(policy) = parts.next() else {
            return Err(Error::new(
                Span::call_site(),
                "no policy is given: write `#[retry_with(POLICY)]`",
            ));
        };
        refuse_no_policy(&policy)?;
        let (mut root, mut plain, mut cloned) = (None, None, None);
        let (mut retry_if, mut on_retry) = (None, None);
        for part in parts {
            let option = Opt::parse(part)?;
            let name = option.name.clone();
            match name.to_string().as_str() {
                "plain" => {
                    option.no_value()?;
                    once(&mut plain, &name, ())?;
                }
                "clone" => once(&mut cloned, &name, names(option)?)?,
                "crate" => {
                    once(&mut root, &name, option.expression("::my_crate::retry_ext")?)?;
                }
                "retry_if" => {
                    let predicate = option.expression("|error| error.is_timeout()")?;
                    once(&mut retry_if, &name.clone(), (name, predicate))?;
                }
                "on_retry" => {
                    let hook = option.expression("|retry| eprintln!(\"{retry}\")")?;
                    once(&mut on_retry, &name.clone(), (name, hook))?;
                }
                _ => {
                    return Err(Error::new(
                        name.span(),
                        format!(
                            "unknown option `{name}`: `#[retry_with(POLICY, ..)]` takes {OPTIONS}"
                        ),
                    ));
                }
            }
        }
        Ok(Self {
            policy,
            root: root.unwrap_or_else(|| quote!(::retry_ext)),
            plain: plain.is_some(),
            cloned: cloned.unwrap_or_default(),
            retry_if,
            on_retry,
        })
    }

    /// Returns the calls that give the hooks to the context. The error type lets closures omit their types.
    fn hooks(&self, error_type: &TokenStream) -> TokenStream {
        let hooks = self.retry_if.iter().chain(&self.on_retry);
        let calls = hooks.map(|(name, hook)| quote!(.#name::<#error_type, _>(#hook)));
        calls.collect()
    }

    /// Finds the arguments that each attempt clones. Their `mut` moves to the clones, which are the values that change.
    fn clones(&self, parameters: &Group) -> Result<(Group, Vec<Cloned>)> {
        let mut tokens: Vec<TokenTree> = parameters.stream().into_iter().collect();
        let mut clones = Vec::new();
        for wanted in &self.cloned {
            let Some(at) = position(&tokens, wanted) else {
                return Err(Error::new(
                    wanted.span(),
                    format!(
                        "the function has no argument `{wanted}`: `clone(..)` takes the names of arguments"
                    ),
                ));
            };
            let TokenTree::Ident(name) = tokens[at].clone() else { continue };
            let is_mut =
                |token: &TokenTree| matches!(token, TokenTree::Ident(word) if word == "mut");
            let mutable = (at > 0 && is_mut(&tokens[at - 1])).then(|| tokens.remove(at - 1));
            clones.push(Cloned { mutable, name });
        }
        let mut without = Group::new(Delimiter::Parenthesis, tokens.into_iter().collect());
        without.set_span(parameters.span());
        Ok((without, clones))
    }
}

/// An argument that each attempt clones.
struct Cloned {
    mutable: Option<TokenTree>,
    name: Ident,
}

/// Returns the position of an argument's name, which is directly before a single colon.
fn position(tokens: &[TokenTree], name: &Ident) -> Option<usize> {
    (0..tokens.len()).find(|&at| {
        matches!(&tokens[at], TokenTree::Ident(word) if word == name)
            && matches!(&tokens.get(at + 1), Some(TokenTree::Punct(colon))
                if colon.as_char() == ':' && colon.spacing() == Spacing::Alone)
    })
}

fn refuse_no_policy(policy: &TokenStream) -> Result<()> {
    if let Some(TokenTree::Literal(literal)) = sole(policy) {
        return Err(Error::new(
            literal.span(),
            "a literal is no policy: write `#[retry_with(POLICY)]`, with a `RetryPolicy`",
        ));
    }
    let Ok(Opt { name, value }) = Opt::parse(policy.clone()) else { return Ok(()) };
    let is_option = match (name.to_string().as_str(), value) {
        ("plain", Value::None) | ("clone", Value::List(_)) => true,
        (_, value) => matches!(value, Value::Expression(_)),
    };
    if is_option {
        return Err(Error::new(
            name.span(),
            "the policy comes first, without a name: write `#[retry_with(POLICY, ..)]`",
        ));
    }
    Ok(())
}

/// Returns the names in `clone(a, b)`.
fn names(option: Opt) -> Result<Vec<Ident>> {
    let Opt { name: word, value } = option;
    let advice = "write `clone(argument)`, with the arguments that each attempt uses up";
    let Value::List(list) = value else {
        return Err(Error::new(word.span(), format!("`clone` takes a list: {advice}")));
    };
    let mut names: Vec<Ident> = Vec::new();
    for part in split(list.stream())? {
        match sole(&part) {
            Some(TokenTree::Ident(name)) if name == "self" => {
                return Err(Error::new(
                    name.span(),
                    "`self` cannot be cloned here: take `&self` and clone it in the function",
                ));
            }
            Some(TokenTree::Ident(name)) if names.contains(&name) => {
                return Err(Error::new(
                    name.span(),
                    format!("`{name}` is given twice: keep one of them"),
                ));
            }
            Some(TokenTree::Ident(name)) => names.push(name),
            _ => {
                let span =
                    part.into_iter().next().map_or_else(|| word.span(), |token| token.span());
                return Err(Error::new(
                    span,
                    format!("expected the name of an argument: {advice}"),
                ));
            }
        }
    }
    if names.is_empty() {
        return Err(Error::new(word.span(), format!("`clone()` is empty: {advice}")));
    }
    Ok(names)
}

/// The outline of a function.
struct Function {
    attributes: TokenStream,
    /// Visibility, qualifiers, `fn`, name and generics.
    head: TokenStream,
    name: Ident,
    asynchronous: Option<Span>,
    constant: Option<Span>,
    parameters: Group,
    /// The return type, if there is one.
    output: TokenStream,
    /// The `where` clause, if there is one.
    clause: TokenStream,
    body: Option<Body>,
}

struct Body {
    /// Attributes such as `#![allow(..)]` at the beginning, which the body of a closure may not have.
    attributes: TokenStream,
    statements: TokenStream,
}

impl Function {
    fn check(&self, settings: &Settings) -> Result<()> {
        let Self { name, asynchronous, constant, output, body, .. } = self;
        if let Some(word) = constant {
            return Err(Error::new(
                *word,
                "a `const fn` cannot wait between attempts: remove `const`",
            ));
        }
        if body.is_none() {
            return Err(Error::new(
                name.span(),
                format!("`{name}` has no body to retry: put the attribute on the implementation"),
            ));
        }
        if output.is_empty() {
            return Err(Error::new(
                name.span(),
                format!("`{name}` returns nothing to retry: return `Result<T, RetryError<E>>`"),
            ));
        }
        if let Some(word) = find(output.clone(), "impl") {
            return Err(Error::new(
                word.span(),
                "`impl` cannot be part of the return type of a retried function: name the type, \
                 or write an `async fn` in place of `impl Future`",
            ));
        }
        if let Some(word) = outer_type(output).filter(|word| word == "Option") {
            return Err(Error::new(
                word.span(),
                "an `Option` has no error to classify: return `Result<T, RetryError<E>>`",
            ));
        }
        if let (true, Some(word)) = (settings.plain, find(output.clone(), "RetryError")) {
            return Err(Error::new(
                word.span(),
                "`plain` returns the last error itself: return `Result<T, E>`, or remove `plain`",
            ));
        }
        if let (Some(word), false) = (asynchronous, cfg!(any(feature = "tokio", feature = "web"))) {
            return Err(Error::new(
                *word,
                "an async function needs a timer: enable the feature `tokio` of `retry-ext`, or retry the calls in \
                 the function with `.sleep_with(..)`",
            ));
        }
        Ok(())
    }

    fn retried(&self, settings: &Settings) -> Result<TokenStream> {
        let Self { attributes, head, output, clause, .. } = self;
        let root = &settings.root;
        let (parameters, clones) = settings.clones(&self.parameters)?;
        let before = clones.iter().map(|Cloned { name, .. }| {
            quote_spanned!(Span::mixed_site()=> let #name = ::core::clone::Clone::clone(&#name);)
        });
        let before = quote!(#(#before)*);

        // Messages about the declared type point to it.
        let span = hidden_at(output);
        let kind = Ident::new(if settings.plain { "Plain" } else { "Retried" }, Span::call_site());
        let declared = quote_spanned!(span=> <#output as #root::__private::#kind>);
        let outcome = Ident::new("outcome", span);
        let attempt = self.attempt(root, &quote_spanned!(span=> #declared::Attempt), &clones);
        let hooks = settings.hooks(&quote_spanned!(span=> #declared::Error));
        let asynchronous = self.asynchronous.is_some();
        let attempts = retry_loop(settings, &hooks, &before, &attempt, &outcome, asynchronous);
        let inner = self.body.as_ref().map(|body| &body.attributes);
        Ok(quote! {
            #attributes
            #inner
            #head #parameters -> #output #clause {
                #attempts
            }
        })
    }

    /// Returns one attempt as an expression. `return` and `?` in the body end the attempt only.
    fn attempt(
        &self,
        root: &TokenStream,
        attempt_type: &TokenStream,
        clones: &[Cloned],
    ) -> TokenStream {
        // Moves the clones into the attempt, because a reference to a non-`Sync` type is not `Send`.
        let moves =
            clones.iter().map(|Cloned { mutable, name }| quote!(let #mutable #name = #name;));
        let statements = self.body.as_ref().map(|body| &body.statements);
        if self.asynchronous.is_none() {
            let body = quote!({ #(#moves)* #statements });
            return quote!(#root::__private::attempt(|| -> #attempt_type #body));
        }
        // The type of the block is that of its first `return`.
        quote! {
            async {
                if false {
                    return #root::__private::never::<#attempt_type>();
                }
                #(#moves)*
                #statements
            }
            .await
        }
    }

    /// Returns the function without its body, so that its uses compile after an error. A body with another type than
    /// the function's would only add errors.
    fn stub(&self) -> Option<TokenStream> {
        let Self { attributes, head, parameters, output, clause, body, .. } = self;
        body.as_ref()?;
        if output.is_empty() || find(output.clone(), "impl").is_some() {
            return None;
        }
        Some(quote! {
            #attributes
            #[allow(warnings)]
            #head #parameters -> #output #clause {
                loop {}
            }
        })
    }
}

impl Parse for Function {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut attributes = TokenStream::new();
        for attribute in input.call(Attribute::parse_outer)? {
            attribute.to_tokens(&mut attributes);
        }
        let mut head = input.parse::<Visibility>()?.into_token_stream();
        let start = input.span();
        let (mut asynchronous, mut constant) = (None, None);
        while !input.peek(Token![fn]) {
            let word: Option<Ident> = input.call(Ident::parse_any).ok();
            let span = word.as_ref().map(Ident::span);
            match word.as_ref().map(ToString::to_string).as_deref() {
                Some("async") => asynchronous = span,
                Some("const") => constant = span,
                Some("unsafe" | "extern" | "default") => {}
                _ => return Err(not_a_function(start)),
            }
            word.to_tokens(&mut head);
            if input.peek(LitStr) {
                input.parse::<LitStr>()?.to_tokens(&mut head);
            }
        }
        input.parse::<Token![fn]>()?.to_tokens(&mut head);
        let name: Ident = input.parse().map_err(|_| not_a_function(start))?;
        name.to_tokens(&mut head);

        let mut tokens = input.parse::<TokenStream>()?.into_iter();
        let parameters = parameters(&mut tokens, &mut head).ok_or_else(|| not_a_function(start))?;
        let mut rest: Vec<TokenTree> = tokens.collect();
        let body = rest.pop().and_then(body_of).map(|body| Body::of(&body));
        let clause = rest.iter().position(|token| is_word(token, "where")).unwrap_or(rest.len());
        let clause: TokenStream = rest.drain(clause..).collect();
        // Skips the two tokens of the arrow.
        let output: TokenStream = rest.into_iter().skip(2).collect();
        Ok(Self {
            attributes,
            head,
            name,
            asynchronous,
            constant,
            parameters,
            output,
            clause,
            body,
        })
    }
}

fn not_a_function(span: Span) -> Error {
    Error::new(span, "expected a function: `#[retry_with(POLICY)]` retries functions and methods")
}

/// Moves the generics into `head`, and returns the parameters behind them.
fn parameters(
    tokens: &mut impl Iterator<Item = TokenTree>,
    head: &mut TokenStream,
) -> Option<Group> {
    let (mut angles, mut arrow) = (0_u32, false);
    for token in tokens {
        match &token {
            TokenTree::Group(group)
                if angles == 0 && group.delimiter() == Delimiter::Parenthesis =>
            {
                return Some(group.clone());
            }
            TokenTree::Punct(punct) if punct.as_char() == '<' => angles += 1,
            // The `>` of an arrow does not close a bracket.
            TokenTree::Punct(punct) if punct.as_char() == '>' && !arrow => {
                angles = angles.checked_sub(1)?;
            }
            _ => {}
        }
        arrow = matches!(&token, TokenTree::Punct(punct)
            if punct.as_char() == '-' && punct.spacing() == Spacing::Joint);
        head.extend([token]);
    }
    None
}

/// Returns a block, which may be in the invisible group of a `$body:block`.
fn body_of(token: TokenTree) -> Option<Group> {
    match token {
        TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => Some(group),
        TokenTree::Group(group) if group.delimiter() == Delimiter::None => {
            sole_group(&group).and_then(body_of)
        }
        _ => None,
    }
}

fn sole_group(group: &Group) -> Option<TokenTree> {
    let mut tokens = group.stream().into_iter();
    tokens.next().filter(|_| tokens.next().is_none())
}

fn starts_with_inner_attribute(tokens: &[TokenTree]) -> bool {
    matches!(tokens, [hash, bang, TokenTree::Group(_), ..] if is_punct(hash, '#') && is_punct(bang, '!'))
}

fn is_punct(token: &TokenTree, mark: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == mark)
}

/// Returns the last name of a path, before its generic arguments.
fn outer_type(path: &TokenStream) -> Option<Ident> {
    let mut last = None;
    for token in path.clone() {
        match token {
            TokenTree::Ident(name) => last = Some(name),
            TokenTree::Punct(punct) if punct.as_char() == ':' => {}
            _ => break,
        }
    }
    last
}

fn is_word(token: &TokenTree, word: &str) -> bool {
    matches!(token, TokenTree::Ident(name) if name == word)
}

fn find(tokens: TokenStream, word: &str) -> Option<TokenTree> {
    tokens.into_iter().find_map(|token| match token {
        TokenTree::Group(group) => find(group.stream(), word),
        token => Some(token).filter(|token| is_word(token, word)),
    })
}

impl Body {
    fn of(block: &Group) -> Self {
        let mut attributes = TokenStream::new();
        let mut tokens: Vec<TokenTree> = block.stream().into_iter().collect();
        while starts_with_inner_attribute(&tokens) {
            attributes.extend(tokens.drain(..3).filter(|token| !is_punct(token, '!')));
        }
        Self { attributes, statements: tokens.into_iter().collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::{Body, Function, Settings};
    use quote::quote;

    #[test]
    fn hooks_are_read_and_given_to_the_context() {
        let settings = Settings::parse(quote! {
            POLICY.with_name("a"), on_retry = |retry: &RetryEvent<'_, Error>| log(retry), plain,
            retry_if = |error| error.code == 5 || error.is::<A, B>(),
        });
        let settings = settings.unwrap_or_else(|error| panic!("{error}"));
        assert!(settings.plain);
        let expected = quote! {
            .retry_if::<E, _>(|error| error.code == 5 || error.is::<A, B>())
            .on_retry::<E, _>(|retry: &RetryEvent<'_, Error>| log(retry))
        };
        assert_eq!(settings.hooks(&quote!(E)).to_string(), expected.to_string());
    }

    #[test]
    fn the_outline_of_a_function_is_found() {
        let function: Function = syn::parse2(quote! {
            #[inline]
            pub(crate) async unsafe fn f<'a, F: Fn(u8) -> Vec<u8>, const N: usize>(f: F, a: &'a [u8; N])
                -> Result<Vec<fn(u8) -> u8>, RetryError<E>> where F: Fn(u8) -> Vec<u8> { #![allow(a)] f(1) }
        })
        .unwrap_or_else(|error| panic!("{error}"));
        let Function { attributes, head, name, parameters, output, clause, body, .. } = function;
        let (outer, parameters) = (attributes.to_string(), parameters.to_string());
        assert_eq!(outer, quote!(#[inline]).to_string());
        let expected =
            quote!(pub(crate) async unsafe fn f<'a, F: Fn(u8) -> Vec<u8>, const N: usize>);
        assert_eq!((head.to_string(), name.to_string()), (expected.to_string(), "f".into()));
        assert_eq!(parameters, quote!((f: F, a: &'a [u8; N])).to_string());
        let expected = quote!(Result<Vec<fn(u8) -> u8>, RetryError<E>>);
        assert_eq!(output.to_string(), expected.to_string());
        assert_eq!(clause.to_string(), quote!(where F: Fn(u8) -> Vec<u8>).to_string());
        let Body { attributes, statements } = body.expect("a body");
        assert_eq!(attributes.to_string(), quote!(#[allow(a)]).to_string());
        assert_eq!(statements.to_string(), quote!(f(1)).to_string());
    }
}
