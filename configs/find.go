package configs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// systemFile is where a machine-wide configuration lies.
const systemFile = "/etc/postrider/config.yaml"

// Find says which file holds the configuration: the one named on the command line, else in $POSTRIDER_CONFIG, else the first that exists of
// $XDG_CONFIG_HOME/postrider/config.yaml (~/.config without it) and /etc/postrider/config.yaml. A named file is not looked at: Load says what is wrong
// with it. The error is an *Errors that lists where it looked.
func Find(flag string, getenv func(string) string) (string, error) {
	return find(flag, getenv, systemFile)
}

func find(flag string, getenv func(string) string, system string) (string, error) {
	if flag != "" {
		return flag, nil
	}
	if named := getenv("POSTRIDER_CONFIG"); named != "" {
		return named, nil
	}
	var places []string
	// The XDG base directory specification has relative paths ignored.
	if dir := getenv("XDG_CONFIG_HOME"); filepath.IsAbs(dir) {
		places = append(places, filepath.Join(dir, "postrider", "config.yaml"))
	} else if home := getenv("HOME"); filepath.IsAbs(home) {
		places = append(places, filepath.Join(home, ".config", "postrider", "config.yaml"))
	}
	places = append(places, system)
	for _, place := range places {
		// Only absence moves on: a file that cannot be looked at must not silently give way to another.
		if _, err := os.Stat(place); !errors.Is(err, fs.ErrNotExist) {
			return place, nil
		}
	}
	return "", alone(wrong("find the configuration: there is none at "+strings.Join(places, " or "), "write one there, or name it with -c FILE or $POSTRIDER_CONFIG"))
}
