package configs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

// This file is the only one that knows the YAML library. It walks the node tree and not Go structs, because a struct decoder knows neither the path of a key
// nor when to be silent about a value.

// What one file may cost. A million octets of YAML can name a billion values through aliases, so it is the values we visit that are counted.
const (
	maxFile   = 1 << 20 // octets
	maxVisits = 100_000 // keys and list items, each time they are visited
	maxMerges = 16      // merge keys inside merge keys
	maxErrors = 100     // mistakes that are reported
)

// document is one configuration while it is read.
type document struct {
	file     string
	env      Env
	errs     []Error
	visits   int
	outboxAt value       // where the outbox's path stands, or could
	literals []value     // passwords that stand in the file itself
	named    []namedFile // files that the configuration names, for Load to look at
}

// value is one YAML value and where it stands.
type value struct {
	d    *document
	key  string // the path to it
	line int    // of its key, where it has one
	node *yaml.Node
}

// pair is one key of a mapping; name is "" when the key is not text.
type pair struct {
	name        string
	line        int
	node        *yaml.Node
	unspeakable bool // the name may be a piece of a value
}

// mapping is a mapping whose keys are taken one by one; what is left at the end is unknown.
type mapping struct {
	value
	pairs []pair
	asked []string
}

// open reads the YAML and returns its top mapping, or the one mistake that makes the rest unreadable.
func (d *document) open(data []byte) (*mapping, error) {
	if len(data) > maxFile {
		return nil, alone(Error{File: d.file, Line: 1, Problem: "is larger than 1 MiB"})
	}
	root, second, err := documents(data)
	if err != nil {
		problem, line := locate(data, err)
		return nil, alone(Error{File: d.file, Line: line, Problem: "is not valid YAML: " + problem, Remedy: "look at this line and the one before"})
	}
	top := value{d: d, line: max(root.Line, 1), node: root}
	if second > 0 {
		d.report(Error{Line: second, Problem: "a second YAML document begins here", Remedy: "keep everything in one, without a --- between"})
	}
	if m := top.mapping(); m != nil {
		return m, nil
	}
	return nil, collected(d.errs)
}

// documents parses the whole of data: the root of the first document and the line where a second one begins, or 0. The parser is a translation of a C
// library that answers some malformed input with a panic, which must not take the daemon down when it reads its file again.
func documents(data []byte) (root *yaml.Node, second int, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.New("the parser gave up")
		}
	}()
	root = &yaml.Node{Kind: yaml.MappingNode, Line: 1} // what an empty file is
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var first, next yaml.Node
	switch err := decoder.Decode(&first); {
	case errors.Is(err, io.EOF):
		return root, 0, nil
	case err != nil:
		return nil, 0, err
	}
	if len(first.Content) > 0 {
		root = first.Content[0]
	}
	switch err := decoder.Decode(&next); {
	case errors.Is(err, io.EOF):
		return root, 0, nil
	case err != nil:
		return nil, 0, err
	}
	return root, max(next.Line, 1), nil
}

// linePrefix is what the library puts before a message; its number is often that of another line, or missing.
var linePrefix = regexp.MustCompile(`^yaml: (line \d+: )?`)

// reason is the library's message without its line, and without what it quotes from the file.
func reason(err error) string {
	text := linePrefix.ReplaceAllString(err.Error(), "")
	if strings.HasPrefix(text, "unknown anchor") {
		return "an alias (*name) for which there is no anchor (&name) before"
	}
	return text
}

// locate says what is wrong with the YAML and on which line. The parser reads forward, so a message that the first n lines cause is caused by every longer
// prefix too: the smallest such n is the line, and for a quote that is never closed it is the one that opens it.
func locate(data []byte, err error) (problem string, line int) {
	problem = reason(err)
	lines := bytes.SplitAfter(data, []byte("\n"))
	ends := make([]int, len(lines))
	for i, at := 0, 0; i < len(lines); i++ {
		at += len(lines[i])
		ends[i] = at
	}
	i, _ := slices.BinarySearchFunc(ends[:len(ends)-1], problem, func(end int, problem string) int {
		if _, _, err := documents(data[:end]); err != nil && reason(err) == problem {
			return 0
		}
		return -1
	})
	return problem, i + 1
}

// report adds a mistake, up to the number that a reader can bear.
func (d *document) report(e Error) {
	e.File = d.file
	switch {
	case len(d.errs) < maxErrors:
		d.errs = append(d.errs, e)
	case len(d.errs) == maxErrors:
		d.errs = append(d.errs, Error{File: d.file, Line: e.Line, Problem: "there are more mistakes", Remedy: "mend these first"})
	}
}

// visit counts one value, and says whether reading may go on.
func (d *document) visit() bool {
	d.visits++
	return d.visits <= maxVisits
}

// resolved is the value itself where n is an alias of it.
func resolved(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// fail reports a mistake in the value.
func (v value) fail(problem, remedy string) {
	v.d.report(Error{Line: max(v.line, 1), Key: v.key, Problem: problem, Remedy: remedy})
}

// refuse reports what a parser said of the value.
func (v value) refuse(err error) {
	var e Error
	if !errors.As(err, &e) {
		e.Problem = "is not right"
	}
	v.fail(e.Problem, e.Remedy)
}

// isNull says that nothing stands after the key.
func (v value) isNull() bool {
	return v.node.Kind == yaml.ScalarNode && v.node.ShortTag() == "!!null"
}

// isText says that the value is a scalar.
func (v value) isText() bool { return v.node.Kind == yaml.ScalarNode }

// isList says that the value is a sequence.
func (v value) isList() bool { return v.node.Kind == yaml.SequenceNode }

// text is a scalar as it is written: 0123 stays "0123" and no stays "no". What is not a scalar is reported.
func (v value) text() (string, bool) {
	switch {
	case v.isNull():
		v.fail("has no value", "give one or take the key out")
	case !v.isText():
		v.fail("must be a single value", "")
	case v.node.Style&yaml.TaggedStyle != 0 && v.node.ShortTag() != "!!str":
		v.fail("has a YAML tag", "write the value without it")
	default:
		return v.node.Value, true
	}
	return "", false
}

// list is the items of a sequence. What is not a sequence is reported.
func (v value) list() []value {
	if !v.isList() {
		v.fail("must be a list", "write it as [one, two]")
		return nil
	}
	var items []value
	for i, n := range v.node.Content {
		if !v.d.visit() {
			break
		}
		n = resolved(n)
		items = append(items, value{v.d, fmt.Sprintf("%s[%d]", v.key, i), n.Line, n})
	}
	return items
}

// mapping is the value as a mapping, merge keys put in; a key without a value is an empty one, so that what it lacks can be named. What is not a mapping is
// reported, and nil.
func (v value) mapping() *mapping {
	m := &mapping{value: v}
	switch {
	case v.isNull():
	case v.node.Kind == yaml.MappingNode:
		m.fill(v.node, map[string]int{}, 0)
	default:
		v.fail("must be a mapping of keys to values", "")
		return nil
	}
	return m
}

// fill adds the keys of n and then those of its merge keys, which never displace a key that is there: an explicit key comes before a merged one, and an
// earlier merge before a later. Given twice in one mapping is a mistake.
func (m *mapping) fill(n *yaml.Node, before map[string]int, depth int) {
	here := map[string]int{}
	var merges []pair
	for i := 0; i+1 < len(n.Content) && m.d.visit(); i += 2 {
		key, at := resolved(n.Content[i]), n.Content[i].Line
		if key.Kind != yaml.ScalarNode || key.ShortTag() == "!!null" {
			value{m.d, m.key, at, key}.fail("has a key that is not text", "")
			continue
		}
		p := pair{name: key.Value, line: at, node: resolved(n.Content[i+1])}
		// In {password: abc,def} the key def is half of a password, and {def} after password: a whole one.
		p.unspeakable = n.Style&yaml.FlowStyle != 0 || strings.HasSuffix(m.key, ".password")
		merge := key.ShortTag() == "!!merge"
		if first, twice := here[p.name]; twice {
			remedy := ""
			if merge {
				remedy = "write one, with a list: <<: [*a, *b]"
			}
			v := value{d: m.d, key: m.key, line: at}
			if !p.unspeakable {
				v.key = m.child(p).key
			}
			v.fail(fmt.Sprintf("a key is given twice, first on line %d", first), remedy)
			continue
		}
		here[p.name] = at
		if merge {
			merges = append(merges, p)
		} else if before[p.name] == 0 {
			before[p.name] = at
			m.pairs = append(m.pairs, p)
		}
	}
	for _, p := range merges {
		m.merge(p, before, depth+1)
	}
}

// merge puts in what a merge key names: a mapping, or a list of them.
func (m *mapping) merge(p pair, before map[string]int, depth int) {
	sources := []*yaml.Node{p.node}
	if p.node.Kind == yaml.SequenceNode {
		sources = p.node.Content
	}
	for _, n := range sources {
		n = resolved(n)
		switch {
		case !m.d.visit():
			return
		case n.Kind != yaml.MappingNode:
			m.child(p).fail("must name a mapping", "write <<: *name, for an anchor &name on a mapping")
		case depth > maxMerges:
			m.child(p).fail("is nested too deeply", "")
		default:
			m.fill(n, before, depth)
		}
	}
}

// speakable is what a key may look like to be repeated in a message. A password that lost its quotes may stand where a key is expected.
var speakable = regexp.MustCompile(`^(<<|[A-Za-z0-9][A-Za-z0-9_.-]{0,127})$`)

// child is the value of p. A key that should not be repeated is left out of its path.
func (m *mapping) child(p pair) value {
	key := m.key
	if speakable.MatchString(p.name) {
		if key != "" {
			key += "."
		}
		key += p.name
	}
	line := p.line
	if p.node.Kind == yaml.ScalarNode {
		line = p.node.Line // of an alias, where it is defined: that is what has to be mended
	}
	return value{m.d, key, line, p.node}
}

// at is the value of the key, without taking it.
func (m *mapping) at(name string) (value, bool) {
	for _, p := range m.pairs {
		if p.name == name {
			return m.child(p), true
		}
	}
	return value{m.d, strings.TrimPrefix(m.key+"."+name, "."), m.line, nil}, false
}

// has says that the key is there, whatever its value.
func (m *mapping) has(name string) bool {
	_, ok := m.at(name)
	return ok
}

// take is the value of the key, which is known from now on.
func (m *mapping) take(name string) (value, bool) {
	m.asked = append(m.asked, name)
	return m.at(name)
}

// missing reports a key that has to be there.
func (m *mapping) missing(name, problem, remedy string) {
	v, _ := m.at(name)
	v.fail(problem, remedy)
}
