"""What does somebody at a terminal see while the exchange starts?"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn


@contextmanager
def starting(console: Console) -> Iterator[Callable[[int, int], None]]:
    """Show a bar until the block ends; give what tells it how far recovery is.

    Nothing is shown where nobody looks: in a file, a pipe or a service's log.
    """
    progress = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with progress:
        task = progress.add_task("Starting the exchange and its chain", total=None)

        def recovering(sequence: int, last: int) -> None:
            progress.update(
                task, description="Replaying the journal", completed=sequence, total=last
            )

        yield recovering
