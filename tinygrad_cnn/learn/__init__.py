"""The course: twelve chapters along the article, each with an exercise that the doctor of backward rules checks.

>>> from tinygrad_cnn import learn
>>> [chapter.title for chapter in learn.chapters()][:3]
['Correlate by hand', 'The bias gradient', 'The weight gradient']
"""

from .checking import Result, check, check_file
from .course import Chapter, chapters, start
from .notebooks import write_notebooks

__all__ = ["Chapter", "Result", "chapters", "check", "check_file", "start", "write_notebooks"]
