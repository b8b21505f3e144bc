package daemon

import (
	"encoding/json"
	"fmt"
	"maps"

	"postrider/fetch"
	"postrider/ledger"
	"postrider/remote"
)

// places are the folders that the mailboxes of an account were given. A mailbox
// keeps its folder, also when others come whose names look the same.
type places struct {
	ledger *ledger.Ledger
	name   string // in the ledger
	given  map[string]string
}

func loadPlaces(l *ledger.Ledger, account string) (*places, error) {
	p := &places{ledger: l, name: "places\x00" + account, given: map[string]string{}}
	text, err := l.Memory(p.name)
	if err != nil || len(text) == 0 {
		return p, err
	}
	if err := json.Unmarshal(text, &p.given); err != nil {
		return nil, fmt.Errorf("read folders of account %s: %w", account, err)
	}
	return p, nil
}

// assign returns the folder of each mailbox, and keeps those of new ones.
func (p *places) assign(found []remote.Found) (map[string]string, error) {
	named := make([]fetch.Named, len(found))
	for i, f := range found {
		named[i] = fetch.Named{Name: f.Name, Delimiter: f.Delimiter}
	}
	given := fetch.Places(p.given, named)
	all := maps.Clone(p.given)
	maps.Copy(all, given)
	if len(all) == len(p.given) {
		return given, nil
	}
	text, err := json.Marshal(all)
	if err != nil {
		return nil, err
	}
	if err := p.ledger.Commit(func(t *ledger.Tx) error { return t.Remember(p.name, text) }); err != nil {
		return nil, err
	}
	p.given = all
	return given, nil
}
