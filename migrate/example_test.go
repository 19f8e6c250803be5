package migrate_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/satchelhq/satchel/migrate"
)

// The dry run of a migration classifies each line of a file.
func Example() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, ".env")
	if err := os.WriteFile(path, []byte("PORT=8080\nDB_PASSWORD='correct horse'\nAPI_KEY=<your key>\n"), 0o600); err != nil {
		log.Fatal(err)
	}

	file, err := migrate.Read(path)
	if err != nil {
		log.Fatal(err)
	}
	plan, err := file.Plan(nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(strings.ReplaceAll(plan.String(), dir+"/", ""))
	// Output:
	// LINE  NAME         CLASS        ACTION  PREVIEW  WHY
	// 1     PORT         setting      keep    ****     a number
	// 2     DB_PASSWORD  secret       move    ****     its name suggests a secret
	// 3     API_KEY      placeholder  keep    ****     a note in brackets
	// .env: 1 to move, 2 to keep
	// Not compared with the platform: the runner's bundle is not known.
}
