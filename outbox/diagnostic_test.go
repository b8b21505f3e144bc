package outbox

import "testing"

func TestDiagnosticOf(t *testing.T) {
	t.Parallel()
	for reply, want := range map[string]string{
		"server refused RCPT: 550 5.1.1 no: such user": "550 5.1.1 no: such user",
		"550 5.1.1 no: such user":                      "550 5.1.1 no: such user",
		"it could not be sent in 5d":                   "it could not be sent in 5d",
	} {
		if got := diagnosticOf(reply); got != want {
			t.Errorf("%q: %q", reply, got)
		}
	}
}
