package sigma

import (
	"fmt"
	"strings"
	"unicode"
)

// condition parses a rule's condition. Operators, weakest binding first: or, and, not, "1
// of" and "all of", parentheses. Source: Sigma rules specification 2.1, "Condition".
type condition struct {
	words []string
	names []string         // the selections, in the order of the rule
	exprs map[string]*expr // by name; an invalid one is nil
	used  map[string]bool
	depth int
}

// Bounds of a condition.
const (
	maxConditionWords = 1000
	maxConditionDepth = 50
)

// parse returns the parsed condition, or an error with advice. The expr is nil if a
// selection in it is invalid.
func (c *condition) parse(text string) (*expr, error) {
	if c.words = words(text); len(c.words) > maxConditionWords {
		return nil, fmt.Errorf("the condition has more than %d words; split the rule", maxConditionWords)
	}
	if strings.Contains(text, "|") {
		return nil, fmt.Errorf("the condition has a pipe, which Sigma gave up; write a rule with a correlation section " +
			"instead")
	}
	c.depth = 0
	e, err := c.or()
	if err == nil && len(c.words) > 0 {
		err = fmt.Errorf("the condition goes on with %q where it should end; put and, or, or parentheses there", c.words[0])
	}
	if err != nil || !complete(e) {
		return nil, err
	}
	return e, nil
}

// complete reports whether no part of e is missing.
func complete(e *expr) bool {
	if e == nil {
		return false
	}
	for _, x := range e.list {
		if !complete(x) {
			return false
		}
	}
	return true
}

// words splits a condition at white space and around parentheses.
func words(text string) (list []string) {
	from := -1
	for i, r := range text {
		space, bracket := unicode.IsSpace(r), r == '(' || r == ')'
		if from >= 0 && (space || bracket) {
			list, from = append(list, text[from:i]), -1
		}
		if bracket {
			list = append(list, text[i:i+1])
		} else if !space && from < 0 {
			from = i
		}
	}
	if from >= 0 {
		list = append(list, text[from:])
	}
	return list
}

// is consumes the next word and returns true if it equals word. Operators may also be
// written in capitals.
func (c *condition) is(word string) bool {
	if len(c.words) == 0 || c.words[0] != word && c.words[0] != strings.ToUpper(word) {
		return false
	}
	c.words = c.words[1:]
	return true
}

func (c *condition) or() (*expr, error)  { return c.chain("or", opOr, c.and) }
func (c *condition) and() (*expr, error) { return c.chain("and", opAnd, c.not) }

// chain parses operands joined by one operator.
func (c *condition) chain(word string, o op, operand func() (*expr, error)) (*expr, error) {
	var list []*expr
	for {
		e, err := operand()
		if err != nil {
			return nil, err
		}
		list = append(list, e)
		if !c.is(word) {
			return join(o, list), nil
		}
	}
}

func (c *condition) not() (*expr, error) {
	if c.depth++; c.depth > maxConditionDepth {
		return nil, fmt.Errorf("the condition nests more than %d deep; split the rule", maxConditionDepth)
	}
	defer func() { c.depth-- }()
	if c.is("not") {
		e, err := c.not()
		return not(e), err
	}
	return c.operand()
}

// operand parses a selection, a set of selections, or parentheses.
func (c *condition) operand() (*expr, error) {
	if len(c.words) == 0 {
		return nil, fmt.Errorf("the condition ends where the name of a selection should stand")
	}
	word := c.words[0]
	if c.is("(") {
		e, err := c.or()
		if err == nil && !c.is(")") {
			err = fmt.Errorf("the condition lacks a closing parenthesis")
		}
		return e, err
	}
	if len(c.words) > 1 && strings.EqualFold(c.words[1], "of") {
		c.words = c.words[2:]
		return c.of(word)
	}
	if c.words = c.words[1:]; reserved(word) {
		return nil, fmt.Errorf("the condition has %q where the name of a selection should stand", word)
	}
	e, known := c.exprs[word]
	if !known {
		return nil, fmt.Errorf("the condition names the selection %q, which is not there; the selections are %s", word,
			strings.Join(c.names, ", "))
	}
	c.used[word] = true
	return e, nil
}

// of parses the words after "1 of" and "all of".
func (c *condition) of(quantity string) (*expr, error) {
	o := opAnd
	switch strings.ToLower(quantity) {
	case "1", "any":
		o = opOr
	case "all":
	default:
		return nil, fmt.Errorf("the condition has \"%s of\"; Sigma knows \"1 of\" and \"all of\"", quantity)
	}
	if len(c.words) == 0 {
		return nil, fmt.Errorf("the condition ends behind \"%s of\"; name selections such as selection_*, or them", quantity)
	}
	glob := c.words[0]
	c.words = c.words[1:]
	pattern := parsePattern(glob, true)
	var list []*expr
	for _, name := range c.names {
		// "By convention" names with an underscore are helpers, which patterns do not match.
		if !strings.HasPrefix(name, "_") && (glob == "them" || pattern.match(name)) {
			c.used[name] = true
			list = append(list, c.exprs[name])
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("no selection fits \"%s of %s\"; the selections are %s", quantity, glob,
			strings.Join(c.names, ", "))
	}
	return join(o, list), nil
}

// reserved reports whether a keyword of the language would hide a selection of that name.
func reserved(word string) bool {
	switch strings.ToLower(word) {
	case "and", "or", "not", "of", "them", "(", ")":
		return true
	}
	return false
}
