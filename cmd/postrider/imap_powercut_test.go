//go:build linux && (amd64 || arm64)

package main_test

import (
	"testing"

	"postrider/mailtest/powercut"
)

func TestT3PowerCutsIMAP(t *testing.T) {
	if !powercut.Isolated(t) {
		return
	}
	binary := buildPostrider(t)
	remove, move := inboxScene.outage(binary, "delete"), inboxScene.outage(binary, "move "+moved)
	powerCuts(t, []cutting{
		{"delete, one disk", remove, oneDisk, nil, false},
		{"move, one disk", move, oneDisk, nil, true},
		{"delete, two disks", remove, twoDisks, nil, true},
		{"move, two disks", move, twoDisks, nil, false},
		{"delete, two disks, in recovery", remove, twoDisks, []int{130, 90}, false},
		{"several sessions, two disks", crowdScene.outage(binary, "delete"), twoDisks, nil, false},
		{"labels, two disks", labelsScene.outage(binary, "delete"), twoDisks, nil, false},
	})
}

// outage makes the run of a scene during which the power is cut.
func (s scene) outage(binary, onServer string) promise {
	return promise{binary: binary, onServer: onServer, pause: longPause, post: s.office, messages: s.messages()}
}
