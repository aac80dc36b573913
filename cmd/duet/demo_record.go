package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"duet/record"
)

// verify checks the recordings of both calls and notes where they are.
func (d *demoRun) verify(data string) error {
	key, err := openRecordKey(data, false)
	if err != nil {
		return err
	}
	list, err := record.List(filepath.Join(data, recordDir))
	if err != nil {
		return err
	}
	if len(list) != 2 {
		return fmt.Errorf("%d calls were recorded, not 2", len(list))
	}
	for i := range list {
		s := &list[len(list)-1-i]
		report, err := record.Verify(s.Folder, record.VerifyOptions{Key: publicKey(key)})
		if err != nil {
			return err
		}
		if report.Verdict != record.Genuine || i == 0 && len(s.Tracks) != 4 { // the second call is over at once
			return fmt.Errorf("the recording %s is %s, with %d tracks: %v", s.Folder, report.Verdict, len(s.Tracks), report.Findings)
		}
		d.recorded = append(d.recorded, fmt.Sprintf("%s, %.1f s, %d tracks, %d fragments: %s", report.Verdict, report.Length.Seconds(), len(s.Tracks), report.Fragments, s.Folder))
	}
	return nil
}

// keepRecordings removes a demo's data directory but for the recordings and what checks them.
func keepRecordings(data string) error {
	entries, err := os.ReadDir(data)
	if err != nil {
		return err
	}
	kept := false
	for _, e := range entries {
		if e.Name() == recordDir {
			kept = true
		} else if !strings.HasPrefix(e.Name(), recordKeyFile) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(data, e.Name())))
		}
	}
	if !kept {
		err = errors.Join(err, os.RemoveAll(data))
	}
	return err
}
