//! `#[derive(IsTransient)]`.

use std::collections::BTreeMap;

use proc_macro2::{Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote};
use syn::spanned::Spanned;
use syn::{
    Attribute, Data, DeriveInput, Error, Field, Fields, GenericParam, Member, Meta, Result, Type,
};

use crate::options::{Opt, Value, once, sole, split};

const OPTIONS: &str = "`forward`, `after` and `if`";
const AFTER: &str = "Duration::from_secs(1)";
const CONDITION: &str = "matches!(code, 502 | 503)";

pub(crate) fn expand(mut input: DeriveInput) -> Result<TokenStream> {
    let Outcomes { root, arms } = Outcomes::of(&input)?;
    let transient = method(&arms, |arm| &arm.transient, &quote!(false));
    let hint = arms.iter().any(|arm| arm.hint.is_some());
    let retry_after = hint.then(|| {
        let none = quote!(::core::option::Option::None);
        let matched = method(&arms, |arm| &arm.hint, &none);
        quote! {
            fn retry_after(&self) -> ::core::option::Option<::core::time::Duration> {
                #matched
            }
        }
    });

    let bounds: Vec<_> = arms.iter().filter_map(|arm| arm.bound.as_ref()).collect();
    if !bounds.is_empty() {
        let clause = input.generics.make_where_clause();
        for bound in bounds {
            clause.predicates.push(syn::parse2(quote!(#bound: #root::IsTransient))?);
        }
    }
    let (impl_generics, type_generics, clause) = input.generics.split_for_impl();
    let name = &input.ident;
    Ok(quote! {
        #[automatically_derived]
        // Fields are bound even if an expression merely seems to mention them.
        #[allow(non_shorthand_field_patterns, unused_variables)]
        impl #impl_generics #root::IsTransient for #name #type_generics #clause {
            fn is_transient(&self) -> ::core::primitive::bool {
                #transient
            }
            #retry_after
        }
    })
}

/// Returns the body of a method. Arms without an answer return `otherwise`.
fn method(
    arms: &[Arm],
    answer: impl Fn(&Arm) -> &Option<Answer>,
    otherwise: &TokenStream,
) -> TokenStream {
    if arms.is_empty() {
        return quote!(match *self {});
    }
    let answered = arms.iter().filter_map(|arm| {
        let Answer { bindings, value } = answer(arm).as_ref()?;
        let name = &arm.name;
        Some(quote!(#name { #(#bindings,)* .. } => #value,))
    });
    let rest = arms.iter().any(|arm| answer(arm).is_none());
    let rest = rest.then(|| quote!(_ => #otherwise,));
    quote! {
        match self {
            #(#answered)*
            #rest
        }
    }
}

/// The answers of every variant, or of a struct.
struct Outcomes {
    root: TokenStream,
    arms: Vec<Arm>,
}

struct Arm {
    /// `Self` or `Self::Variant`
    name: TokenStream,
    /// The condition; `None` if the arm is permanent.
    transient: Option<Answer>,
    hint: Option<Answer>,
    /// The type of a forwarded field, if the type's parameters decide whether it is `IsTransient`.
    bound: Option<TokenStream>,
}

/// An expression, and the fields that it uses.
struct Answer {
    bindings: Vec<TokenStream>,
    value: TokenStream,
}

impl Outcomes {
    fn of(input: &DeriveInput) -> Result<Self> {
        let Said { mut verdict, root } = Said::by(&input.attrs, Place::Type)?;
        let root = root.unwrap_or_else(|| quote!(::retry_ext));
        let mut errors = Errors::default();
        let mut arms = Vec::new();
        match &input.data {
            Data::Union(data) => {
                return Err(Error::new(
                    data.union_token.span,
                    "`IsTransient` cannot be derived for a union: implement the trait by hand",
                ));
            }
            Data::Struct(data) => {
                let Some(verdict) = verdict.take() else {
                    return Err(Error::new(
                        input.ident.span(),
                        format!(
                            "`{}` does not declare whether it is transient: add `#[transient]`, \
                             `#[permanent]`, or `#[transient(..)]` with {OPTIONS}",
                            input.ident
                        ),
                    ));
                };
                errors.add(refuse_on_fields(&data.fields));
                let arm = Arm::new(quote!(Self), verdict, &data.fields, input, &root);
                arms.extend(errors.add(arm));
            }
            Data::Enum(data) => {
                errors.add(verdict.as_ref().map_or(Ok(()), Verdict::refuse_options));
                let all = verdict.unwrap_or(Verdict::Permanent);
                for variant in &data.variants {
                    errors.add(refuse_on_fields(&variant.fields));
                    let Some(said) = errors.add(Said::by(&variant.attrs, Place::Variant)) else {
                        continue;
                    };
                    let verdict = said.verdict.unwrap_or_else(|| all.without_options());
                    let name = &variant.ident;
                    let name = quote!(Self::#name);
                    let arm = Arm::new(name, verdict, &variant.fields, input, &root);
                    arms.extend(errors.add(arm));
                }
            }
        }
        errors.into_result(Self { root, arms })
    }
}

/// Collects errors, so that all of them are reported at once.
#[derive(Default)]
struct Errors(Option<Error>);

impl Errors {
    fn add<T>(&mut self, result: Result<T>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                match &mut self.0 {
                    Some(first) => first.combine(error),
                    None => self.0 = Some(error),
                }
                None
            }
        }
    }

    fn into_result<T>(self, value: T) -> Result<T> {
        self.0.map_or(Ok(value), Err)
    }
}

fn refuse_on_fields(fields: &Fields) -> Result<()> {
    let mut errors = Errors::default();
    for attribute in fields.iter().flat_map(|field| &field.attrs) {
        if let Some(word) = word_of(attribute) {
            errors.add::<()>(Err(Error::new(
                word.span(),
                format!(
                    "`#[{word}]` belongs on a variant or a struct: to use a field, name it there, \
                     as in `#[transient(forward = field)]`"
                ),
            )));
        }
    }
    errors.into_result(())
}

/// Returns `transient` or `permanent` if the attribute belongs to the macro.
fn word_of(attribute: &Attribute) -> Option<&Ident> {
    attribute.path().get_ident().filter(|word| *word == "transient" || *word == "permanent")
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Type,
    Variant,
}

/// The attributes of a type or a variant.
struct Said {
    verdict: Option<Verdict>,
    root: Option<TokenStream>,
}

enum Verdict {
    Permanent,
    Transient(Box<Options>),
}

impl Verdict {
    /// Refuses options in the attribute of an enum.
    fn refuse_options(&self) -> Result<()> {
        match self {
            Self::Transient(options) => options.first().map_or(Ok(()), |name| {
                Err(Error::new(
                    name.span(),
                    format!(
                        "`{name}` belongs on a variant: on an enum, `#[transient]` only sets the default"
                    ),
                ))
            }),
            Self::Permanent => Ok(()),
        }
    }

    fn without_options(&self) -> Self {
        match self {
            Self::Permanent => Self::Permanent,
            Self::Transient(_) => Self::Transient(Box::default()),
        }
    }
}

/// The options of `#[transient(..)]`, each with its name.
#[derive(Default)]
struct Options {
    forward: Option<(Ident, Option<TokenTree>)>,
    after: Option<(Ident, Option<TokenStream>)>,
    condition: Option<(Ident, TokenStream)>,
}

impl Options {
    fn first(&self) -> Option<&Ident> {
        let Self { forward, after, condition } = self;
        let forward = forward.as_ref().map(|(name, _)| name);
        let after = after.as_ref().map(|(name, _)| name);
        forward.or(after).or(condition.as_ref().map(|(name, _)| name))
    }
}

impl Said {
    fn by(attributes: &[Attribute], place: Place) -> Result<Self> {
        let mut said = Self { verdict: None, root: None };
        let mut last: Option<&Ident> = None;
        for attribute in attributes {
            let Some(word) = word_of(attribute) else { continue };
            let verdict = if word == "permanent" {
                if !matches!(attribute.meta, Meta::Path(_)) {
                    return Err(Error::new(
                        word.span(),
                        "`#[permanent]` takes no value: write `#[permanent]`",
                    ));
                }
                Some(Verdict::Permanent)
            } else {
                said.transient(attribute, word, place)?
            };
            let Some(verdict) = verdict else { continue };
            match last {
                None => {}
                Some(other) if other == word => {
                    return Err(Error::new(
                        word.span(),
                        format!("`#[{word}]` is given twice: keep one, with all options in it"),
                    ));
                }
                Some(_) => {
                    return Err(Error::new(
                        word.span(),
                        "both `#[transient]` and `#[permanent]` are given: keep one of them",
                    ));
                }
            }
            last = Some(word);
            said.verdict = Some(verdict);
        }
        Ok(said)
    }

    /// Reads `#[transient]` or `#[transient(..)]`. An attribute that contains only `crate` gives no verdict.
    fn transient(
        &mut self,
        attribute: &Attribute,
        word: &Ident,
        place: Place,
    ) -> Result<Option<Verdict>> {
        let list = match &attribute.meta {
            Meta::Path(_) => return Ok(Some(Verdict::Transient(Box::default()))),
            Meta::List(list) if matches!(list.delimiter, syn::MacroDelimiter::Paren(_)) => list,
            Meta::List(_) | Meta::NameValue(_) => {
                return Err(Error::new(
                    word.span(),
                    format!(
                        "options of `transient` stand in parentheses: write `#[transient(..)]` with {OPTIONS}"
                    ),
                ));
            }
        };
        if list.tokens.is_empty() {
            return Err(Error::new(
                word.span(),
                format!("`#[transient()]` is empty: write `#[transient]`, or add {OPTIONS}"),
            ));
        }
        let mut options = Options::default();
        let mut only_root = true;
        for part in split(list.tokens.clone())? {
            let option = Opt::parse(part)?;
            let name = option.name.clone();
            let is_root = name == "crate";
            match name.to_string().as_str() {
                "forward" => {
                    let field = option.field()?;
                    once(&mut options.forward, &name.clone(), (name, field))?;
                }
                "after" => {
                    let hint = match option.value {
                        Value::None => None,
                        _ => Some(option.expression(AFTER)?),
                    };
                    once(&mut options.after, &name.clone(), (name, hint))?;
                }
                "if" => {
                    let condition = option.expression(CONDITION)?;
                    once(&mut options.condition, &name.clone(), (name, condition))?;
                }
                "crate" if place == Place::Type => {
                    let path = option.expression("::my_crate::retry_ext")?;
                    once(&mut self.root, &name, path)?;
                }
                "crate" => {
                    return Err(Error::new(
                        name.span(),
                        "`crate` belongs on the type: write `#[transient(crate = path)]` above it",
                    ));
                }
                _ => {
                    return Err(Error::new(
                        name.span(),
                        format!(
                            "unknown option `{name}`: `#[transient(..)]` takes {OPTIONS}, and `crate` on the type"
                        ),
                    ));
                }
            }
            only_root &= is_root;
        }
        options.check()?;
        Ok((!only_root).then(|| Verdict::Transient(Box::new(options))))
    }
}

impl Opt {
    /// Returns the field that `forward` names.
    fn field(self) -> Result<Option<TokenTree>> {
        if matches!(self.value, Value::None) {
            return Ok(None);
        }
        let expression = self.expression("field")?;
        match sole(&expression) {
            Some(field @ (TokenTree::Ident(_) | TokenTree::Literal(_))) => Ok(Some(field)),
            _ => Err(Error::new(
                expression.span(),
                "`forward` takes the name of a field: write `forward = field`, or `if = ..` for an expression",
            )),
        }
    }
}

impl Options {
    fn check(&self) -> Result<()> {
        let Some((forward, _)) = &self.forward else { return Ok(()) };
        let (name, advice) = match self {
            Self { condition: Some((name, _)), .. } => {
                (name, "keep one of them, or write the whole condition into `if`")
            }
            Self { after: Some((name, _)), .. } => (
                name,
                "keep one of them, or write `if = field.is_transient()` in place of `forward`",
            ),
            _ => return Ok(()),
        };
        Err(Error::new(name.span(), format!("`{name}` cannot stand beside `{forward}`: {advice}")))
    }
}

impl Arm {
    fn new(
        name: TokenStream,
        verdict: Verdict,
        fields: &Fields,
        input: &DeriveInput,
        root: &TokenStream,
    ) -> Result<Self> {
        let mut arm = Self { name, transient: None, hint: None, bound: None };
        let Verdict::Transient(options) = verdict else { return Ok(arm) };
        if let Some((word, field)) = options.forward {
            let (member, field) = forwarded(&word, field, fields)?;
            // The compiler points to the type of a field that is not `IsTransient`.
            let inner = Ident::new("inner", Span::mixed_site().located_at(field.ty.span()));
            let bindings = vec![quote!(#member: #inner)];
            arm.transient = Some(Answer {
                value: quote!(#root::IsTransient::is_transient(#inner)),
                bindings: bindings.clone(),
            });
            arm.hint =
                Some(Answer { value: quote!(#root::IsTransient::retry_after(#inner)), bindings });
            arm.bound = needs_bound(&field.ty, input).then(|| field.ty.to_token_stream());
            return Ok(arm);
        }
        arm.transient = Some(match options.condition {
            None => Answer { bindings: Vec::new(), value: quote!(true) },
            Some((_, condition)) => {
                let Answer { bindings, value } = Answer::of(condition, fields);
                Answer { bindings, value: quote!(#root::__private::Condition::holds(#value)) }
            }
        });
        if let Some((word, hint)) = options.after {
            let hint = if let Some(hint) = hint {
                hint
            } else {
                let mut field = variable(&only(&word, AFTER, fields)?.0);
                field.set_span(word.span()); // for the message about its type
                field.into_token_stream()
            };
            let Answer { bindings, value } = Answer::of(hint, fields);
            let value = quote!(#root::__private::Hint::into_hint(#value));
            arm.hint = Some(Answer { bindings, value });
        }
        Ok(arm)
    }
}

impl Answer {
    /// Binds only the fields that the expression mentions: other fields could match constants of the same name.
    fn of(expression: TokenStream, fields: &Fields) -> Self {
        let mut bindings = BTreeMap::new();
        let value = resolve(expression, &mut |word| {
            let mut members = fields.members().enumerate();
            let Some((index, member)) = members.find(|(_, member)| variable(member) == *word)
            else {
                return word == "self";
            };
            let variable = variable(&member);
            bindings.insert(index, quote!(#member: #variable));
            true
        });
        Self { bindings: bindings.into_values().collect(), value: quote!((#value)) }
    }
}

/// Returns the name of a field in expressions: the field's name, or `_0` for the first field of a tuple.
fn variable(member: &Member) -> Ident {
    match member {
        Member::Named(name) => at_call_site(name.clone()),
        Member::Unnamed(index) => format_ident!("_{}", index.index),
    }
}

/// Resolves a name at the call site. In the input of `macro_rules!`, a field and an expression that mentions the field
/// may come from different places. Their names would then be different.
fn at_call_site(mut word: Ident) -> Ident {
    word.set_span(Span::call_site().located_at(word.span()));
    word
}

/// Calls `is_ours` with every name of an expression, and resolves those for which it returns `true` at the call site.
fn resolve(expression: TokenStream, is_ours: &mut impl FnMut(&Ident) -> bool) -> TokenStream {
    let resolved = expression.into_iter().map(|token| match token {
        TokenTree::Ident(word) if is_ours(&word) => TokenTree::Ident(at_call_site(word)),
        TokenTree::Group(group) => {
            let mut inner = Group::new(group.delimiter(), resolve(group.stream(), is_ours));
            inner.set_span(group.span());
            TokenTree::Group(inner)
        }
        token => token,
    });
    resolved.collect()
}

fn forwarded<'a>(
    word: &Ident,
    field: Option<TokenTree>,
    fields: &'a Fields,
) -> Result<(Member, &'a Field)> {
    let Some(field) = field else { return only(word, "field", fields) };
    let mut members = fields.members().zip(fields);
    let named = members.find(|(member, _)| match (&field, member) {
        (TokenTree::Literal(literal), Member::Unnamed(index)) => {
            literal.to_string() == index.index.to_string()
        }
        (TokenTree::Ident(name), member) => variable(member) == *name,
        _ => false,
    });
    named.ok_or_else(|| Error::new(field.span(), format!("no field `{field}`: {}", list(fields))))
}

/// Returns the only field, for an option without a value.
fn only<'a>(word: &Ident, example: &str, fields: &'a Fields) -> Result<(Member, &'a Field)> {
    let mut members = fields.members().zip(fields);
    match (members.next(), members.next()) {
        (Some(member), None) => Ok(member),
        _ => Err(Error::new(
            word.span(),
            format!(
                "`{word}` without a value needs exactly one field: write `{word} = {example}`; {}",
                list(fields)
            ),
        )),
    }
}

fn list(fields: &Fields) -> String {
    let names = fields.members().map(|member| format!("`{}`", variable(&member)));
    match names.collect::<Vec<_>>().as_slice() {
        [] => "there are no fields".into(),
        [field] => format!("the only field is {field}"),
        fields => format!("the fields are {}", fields.join(", ")),
    }
}

/// Returns whether the field's `IsTransient` depends on the type's parameters. A bound on a field that mentions the
/// deriving type would be a circle, and the compiler does not need it.
fn needs_bound(field: &Type, input: &DeriveInput) -> bool {
    let parameters = input.generics.params.iter().filter_map(|parameter| match parameter {
        GenericParam::Type(parameter) => Some(&parameter.ident),
        GenericParam::Const(parameter) => Some(&parameter.ident),
        GenericParam::Lifetime(_) => None,
    });
    let parameters = parameters.collect();
    let mut mentioned =
        Mentioned { parameters, name: &input.ident, generic: false, recursive: false };
    mentioned.walk(field.to_token_stream());
    mentioned.generic && !mentioned.recursive
}

/// The names that a type mentions: parameters, and the deriving type. The deriving type's name counts at the start of a
/// path, or behind `crate`, `self` or `super`. Elsewhere the name belongs to another type, such as the associated type
/// in `S::Error`.
struct Mentioned<'a> {
    parameters: Vec<&'a Ident>,
    name: &'a Ident,
    generic: bool,
    recursive: bool,
}

impl Mentioned<'_> {
    fn walk(&mut self, tokens: TokenStream) {
        let (mut start, mut follows_colons) = (None, false);
        for token in tokens {
            match &token {
                TokenTree::Ident(word) => {
                    if !follows_colons {
                        start = Some(word.clone());
                    }
                    let is_local =
                        |start: &Ident| start == "crate" || start == "self" || start == "super";
                    let is_here = !follows_colons || start.as_ref().is_some_and(is_local);
                    self.generic |= self.parameters.contains(&word);
                    self.recursive |= word == "Self" || (word == self.name && is_here);
                }
                TokenTree::Group(group) => {
                    start = None;
                    self.walk(group.stream());
                }
                // A path behind a `>` belongs to the type in the brackets.
                TokenTree::Punct(punct) if punct.as_char() == '>' => start = None,
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
            follows_colons = matches!(&token, TokenTree::Punct(punct) if punct.as_char() == ':');
        }
    }
}
