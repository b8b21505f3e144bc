package outbox

import (
	"strings"
	"testing"
)

// TestShow checks that foreign text cannot move a terminal's cursor, and that
// cutting it leaves no half of a character.
func TestShow(t *testing.T) {
	for text, want := range map[string]string{
		"":                             `""`,
		"plain":                        `"plain"`,
		"张三":                           `"张三"`,
		"\x1b[2J\r\n\u202e\xff":        `"\x1b[2J\r\n\u202e\xff"`,
		strings.Repeat("a", 60):        `"` + strings.Repeat("a", 60) + `"`,
		strings.Repeat("a", 61):        `"` + strings.Repeat("a", 60) + `"...`,
		"ab" + strings.Repeat("三", 40): `"ab` + strings.Repeat("三", 19) + `"...`,
		strings.Repeat("\x80", 61):     `"` + strings.Repeat(`\x80`, 56) + `"...`,
	} {
		if got := show(text); got != want {
			t.Errorf("%q is shown as %s, want %s", text, got, want)
		}
	}
}
