package main

import (
	"cmp"
	"context"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/satchelhq/satchel"
	"github.com/satchelhq/satchel/job"
)

const runHelp = `The job gets the named secrets and, from the runner's environment, only PATH, HOME,
LANG, TMPDIR, TERM, USER and TZ. All values of the runner, given to the job or not,
and tokens are masked in its output. The exit code is that of the job.

The job works in the current folder. Run warns if a file there has a runner token,
which the job could read.

With --container the job runs in a container. Docker gets the values in its
environment and only their names as arguments, so no argument or file has a value.
While the container exists, "docker inspect" shows the values to every user of
docker.

Examples:
  satchel run --secret NPM_TOKEN -- npm publish
  satchel run --secret DATABASE_URL --restart -- ./server
  satchel run --secret TLS_KEY --file TLS_KEY --signal HUP -- nginx -g 'daemon off;'
  satchel run --git GITHUB_TOKEN=https://github.com -- git fetch
  satchel run --container node:24 --secret NPM_TOKEN -- npm publish
  satchel run --container node:24 --docker-arg -v --docker-arg "$PWD:/src" -- ls /src
`

// timeoutUsage is the help of --timeout.
const timeoutUsage = "`TIME` to keep trying to reach the platform; with 0, no limit"

func (p *program) runJob(ctx context.Context, args []string) error {
	flags := p.flags("run")
	where := flags.homeFlag()
	secrets := flags.list("secret", "a secret for the job; may be repeated")
	files := flags.list("file", "a secret for the job as a file, whose path is in NAME_FILE; may be repeated")
	allow := flags.list("allow", "a secret to pass even though its name controls programs, such as HTTPS_PROXY; may be repeated")
	pass := flags.list("pass", "a variable to pass from the runner's environment; may be repeated")
	git := flags.list("git", "`SECRET=URL`: git in the job uses the secret as its password for the URL; may be repeated")
	socket := flags.Bool("socket", false, "serve the current secrets on the socket in SATCHEL_SOCKET")
	restart := flags.Bool("restart", false, "restart the job when one of its secrets changes")
	sig := flags.String("signal", "", "`SIGNAL`, such as HUP, to send to the job when one of its secrets changes")
	grace := flags.duration("grace", 10*time.Second, "`TIME` for the job to end after SIGTERM; with 0 it is killed immediately")
	limit := flags.duration("timeout", time.Minute, timeoutUsage)
	container := flags.String("container", "", "run the job in a container of `IMAGE`")
	docker := flags.String("docker", cmp.Or(os.Getenv("DOCKER"), "docker"), "`COMMAND` that runs containers")
	dockerArgs := flags.list("docker-arg", "`ARGUMENT` for docker run; may be repeated")
	command, err := flags.parseLeading(args)
	if err != nil {
		return err
	}
	if len(command) == 0 && *container == "" {
		return flags.wrong("missing command; write it after --")
	}
	if *container == "" && (flags.given("docker") || flags.given("docker-arg")) {
		return flags.wrong("--docker and --docker-arg have no effect without --container; give --container too")
	}
	if slices.Contains(*pass, adminTokenName) {
		return flags.wrong("--pass: an administrator's token must not reach a job")
	}
	if err := cmp.Or(flags.checkNames("secret", *secrets), flags.checkNames("file", *files), flags.checkNames("allow", *allow)); err != nil {
		return err
	}
	rotate := job.Leave
	switch {
	case *restart && flags.given("signal"):
		return flags.wrong("--restart and --signal exclude each other; remove one")
	case *restart:
		rotate = job.Restart
	case flags.given("signal"):
		if rotate, err = onSignal(*sig); err != nil {
			return flags.wrong("--signal: " + err.Error())
		}
	}
	credentials, err := gitCredentials(*git)
	if err != nil {
		return flags.wrong(err.Error())
	}

	home, err := where.find()
	if err != nil {
		return err
	}
	layers, settings, err := home.layers()
	if err != nil {
		return err
	}
	client, err := p.connect(ctx, layers, *limit, satchel.Options{})
	if err != nil {
		return err
	}
	passed := p.set(*pass)
	j := job.Job{
		Client: client, Secrets: settings.leaveOut(*secrets, p), Files: settings.leaveOut(*files, p), AllowNames: *allow,
		PassEnv: append(job.DefaultPassEnv(), passed...), Git: credentials,
		Socket: *socket, OnRotate: rotate, Grace: max(*grace, 1), Stdin: p.in, Stdout: p.out, Stderr: p.err, Logger: p.logger(flagNames),
	}
	if _, isFile := p.in.(*os.File); *restart && !isFile {
		j.Stdin = nil // a restarted job could not read the copied input again
	}
	if *container == "" {
		j.Path, j.Args = command[0], command[1:]
	} else if err := inContainer(&j, *docker, *dockerArgs, *container, command, passed); err != nil {
		return err
	}
	if !where.nearby && (*container == "" || len(*dockerArgs) > 0) { // which may mount the folder
		p.sayExposed("", home)
	}
	if given := slices.Concat(j.Secrets, j.Files); len(given) > 0 {
		p.sayShadowed(client.Bundle(), given...)
	}
	return exit(runFresh(ctx, client, j))
}

// runFresh runs a job while the client refreshes its secrets.
func runFresh(ctx context.Context, client *satchel.Client, j job.Job) (int, error) {
	refreshing, stop := context.WithCancel(context.WithoutCancel(ctx))
	var background sync.WaitGroup
	defer background.Wait()
	defer stop()
	background.Go(func() { _ = client.Run(refreshing) }) // ends only with its context
	return j.Run(ctx)
}

// exit returns the error that ends the program with the code of a job. If the job did
// not start, the code is that of a shell, or else codeNoJob. A job that succeeds but
// loses output counts as failed.
func exit(code int, err error) error {
	switch {
	case err == nil && code == 0:
		return nil
	case err == nil:
		return exitCode(code)
	case code == -1:
		code = codeNoJob
	}
	return &jobError{max(code, codeFailed), err}
}

// set returns those names of --pass that are set, and reports the others, which may be
// misspelled.
func (p *program) set(names []string) []string {
	return slices.DeleteFunc(names, func(name string) bool {
		_, ok := os.LookupEnv(name)
		if !ok {
			p.note("%s is not set and is not passed", name)
		}
		return !ok
	})
}
