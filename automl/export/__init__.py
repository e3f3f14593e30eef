"""Export: a winner in the forms that other runtimes take, each compared with the winner itself before it is kept."""
