"""What the programs that use a checkpoint share on their command lines."""

from service.config.arguments import Parser


def parser(summary: str, example: str) -> Parser:
    """Returns a parser that knows what all these programs know.

    Args:
        summary: What the program does, one sentence.
        example: A command that works.
    """
    made = Parser(summary, example)
    made.add_argument(
        "--checkpoint",
        required=True,
        metavar="ADDRESS",
        help="a checkpoint's folder (step_…), runs:/<run id>, models:/<name>/<version>, s3://…",
    )
    made.add_argument(
        "--weights",
        choices=("auto", "model", "ema"),
        default="auto",
        help="auto: the moving average where there is one",
    )
    made.add_argument(
        "--overwrite", action="store_true", help="replace what an earlier call left at --output"
    )
    return made
