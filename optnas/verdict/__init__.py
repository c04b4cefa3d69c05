"""Did a study beat random search at equal training cost?"""

from optnas.verdict.judge import Verdict, judge_study

__all__ = ["Verdict", "judge_study"]
