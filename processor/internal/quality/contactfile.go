package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"

	"keytrail/processor/internal/quality/family"
	"keytrail/processor/window"
)

// contactFile has the figures of first contacts, which only meetFirst extends.
const contactFile = "processor/internal/quality/firstcontact.json"

// firstContact is the result of the first measurement of a family.
type firstContact struct {
	Family      string  `json:"family"`
	Planted     int     `json:"planted"`
	Found       int     `json:"found"`
	AccountDays float64 `json:"account_days"`
	Anomalies   int     `json:"false_anomalies"`
	Alarms      int     `json:"false_alarms"`
	High        int     `json:"false_high"`
	FirstDay    int     `json:"first_day_anomalies"`
	Accounts    float64 `json:"accounts"` // of all trails together
	Chance      float64 `json:"chance_recall"`
}

func readContacts(path string) (list []firstContact, err error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", path, err)
	}
	return list, nil
}

// contactSeeds are the trails of a first contact.
var contactSeeds = []uint64{101, 102}

// meetFirst measures a family for the first time and adds the figures to the file.
func meetFirst(name, path string, out io.Writer) error {
	list, err := readContacts(path)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(list, func(c firstContact) bool { return c.Family == name }) {
		return fmt.Errorf("family %s is in %s; a first contact is measured once", name, path)
	}
	chosen, err := chooseFamilies(name)
	if err != nil {
		return err
	}
	all, err := measureFamilies(chosen, contactSeeds, familySize, window.DefaultConfig(), func(*contact, time.Duration) {})
	if err != nil {
		return err
	}
	list = append(list, contactOf(name, all))
	text, err := json.MarshalIndent(list, "", "\t")
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s is measured; commit %s\n", name, path)
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

func contactOf(name string, all []*contact) firstContact {
	s := together(all, 0, nil)
	c := firstContact{Family: name, Planted: s.planted, Found: s.found, AccountDays: s.accountDays, Anomalies: s.wrong,
		Alarms: s.alarms, High: s.high, Chance: s.chance}
	for _, t := range all {
		c.FirstDay += len(t.first)
		c.Accounts += t.accounts
	}
	return c
}

// chooseFamilies returns the families with a name; "all" for all of them.
func chooseFamilies(name string) (list []*family.Family, err error) {
	var names []string
	for _, f := range family.All {
		if names = append(names, f.Name); name == "all" || f.Name == name {
			list = append(list, f)
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("no family is called %q; there are %v, and all", name, names)
	}
	return list, nil
}
