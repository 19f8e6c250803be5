// Package job runs programs with the secrets that they need, and masks those in
// what the programs print.
//
//	j := job.Job{Client: client, Path: "make", Args: []string{"deploy"},
//		Secrets: []string{"DEPLOY_TOKEN"}, Stdout: os.Stdout, Stderr: os.Stderr}
//	code, err := j.Run(ctx) // the program's exit code
//
// Start with [Job] and [Job.Run]. A job gets the secrets that it names and no
// other, as variables or as private files, and few of this process's variables.
// Its secrets come from a [Source], usually a satchel client, so that values that
// are rotated while the program runs are masked too and reach it by one of these
// ways:
//
//   - [Job.OnRotate] starts the program again ([Restart]) or sends it a signal
//     ([Signal]);
//   - [Job.Socket] serves the current values on a unix socket;
//   - [Job.Git] lets git ask for a current password; the runner's program then
//     calls [GitCredentialHelper].
//
// In the source, job.go has the settings, run.go the course of one run from the
// first process to the last, and plan.go what each process gets.
package job
